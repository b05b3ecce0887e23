"""Real Kafkas for faults: one that wants a password, two that replicate, one on a small disk."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from streams.embedded import RealKafka
from streams.embedded.kafka import CREATE_SECONDS
from streams.topics import TopicPlan

__all__ = ["PasswordKafka", "TwoBrokers", "small_disk"]

FAST = {"broker.session.timeout.ms": "2000", "broker.heartbeat.interval.ms": "500"}
REPLICATED = {
    "default.replication.factor": "2",
    "min.insync.replicas": "1",
    "offsets.topic.replication.factor": "2",
    "transaction.state.log.replication.factor": "2",
}


class PasswordKafka(RealKafka):
    """A real Kafka that wants the password ``sesame`` of the user ``crm``, without TLS."""

    def _admin(self) -> AdminClient:
        login = {"sasl.mechanism": "PLAIN", "sasl.username": "crm", "sasl.password": "sesame"}
        where = {"bootstrap.servers": self.address, "security.protocol": "SASL_PLAINTEXT"}
        return AdminClient(where | login | {"log_level": 2})

    def _properties(self) -> dict[str, str]:
        plain = super()._properties()
        login = "org.apache.kafka.common.security.plain.PlainLoginModule required"
        return plain | {
            "listeners": plain["listeners"].replace("PLAINTEXT:", "SASL_PLAINTEXT:"),
            "advertised.listeners": f"SASL_PLAINTEXT://{self.address}",
            "listener.security.protocol.map": (
                "CONTROLLER:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT"
            ),
            "inter.broker.listener.name": "SASL_PLAINTEXT",
            "sasl.mechanism.inter.broker.protocol": "PLAIN",
            "sasl.enabled.mechanisms": "PLAIN",
            "listener.name.sasl_plaintext.plain.sasl.jaas.config": (
                f'{login} username="crm" password="sesame" user_crm="sesame";'
            ),
        }


class Follower(RealKafka):
    """A second broker, without a controller of its own.

    Parameters
    ----------
    first
        The one that has it.
    """

    def __init__(self, first: RealKafka) -> None:
        super().__init__(heap_mb=512)
        self._first = first

    def _properties(self) -> dict[str, str]:
        theirs, ours = self._first._properties(), f"PLAINTEXT://{self.address}"
        return theirs | {
            "process.roles": "broker",
            "node.id": "2",
            "listeners": ours,
            "advertised.listeners": ours,
            "log.dirs": str(self.folder / "log"),
        }

    def _format(self, properties: Path) -> None:
        meta = (self._first.folder / "log" / "meta.properties").read_text()
        (cluster,) = [line[11:] for line in meta.splitlines() if line.startswith("cluster.id=")]
        tool = ["kafka.tools.StorageTool", "format", f"--cluster-id={cluster}", "-c"]
        subprocess.run([*self._java, *tool, str(properties)], check=True, capture_output=True)


class TwoBrokers:
    """Two real Kafkas, one of them with the controller; topics have two replicas."""

    def __init__(self) -> None:
        self.first = RealKafka(heap_mb=512, config=REPLICATED | FAST)
        self.second = Follower(self.first)
        self.address = f"{self.first.address},{self.second.address}"

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(self.first)
            stack.enter_context(self.second)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def create_topics(self, topics: Iterable[TopicPlan]) -> None:
        """Create topics whose partitions are led by the two in turn."""
        admin = self.first._admin()
        wanted = [
            NewTopic(
                topic.name,
                num_partitions=topic.partitions,
                replica_assignment=[[1 + p % 2, 2 - p % 2] for p in range(topic.partitions)],
                config=topic.config,
            )
            for topic in topics
        ]
        for created in admin.create_topics(wanted).values():
            created.result(CREATE_SECONDS)

    def leaders(self, topic: str) -> dict[int, int]:
        """Partition to the broker that leads it."""
        metadata: Any = self.first._admin().list_topics(topic, timeout=10.0)
        found = metadata.topics[topic].partitions
        return {number: partition.leader for number, partition in found.items()}

    def in_sync(self, topic: str) -> bool:
        """Tell whether every partition has both its replicas."""
        metadata: Any = self.first._admin().list_topics(topic, timeout=10.0)
        return all(len(p.isrs) == 2 for p in metadata.topics[topic].partitions.values())


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """Mount a file system of a few megabytes.

    Raises
    ------
    PermissionError
        Where we may not mount.
    """
    options = ["-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    done = subprocess.run(["mount", *options], capture_output=True, text=True, check=False)
    if done.returncode:
        raise PermissionError(done.stderr.strip())
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=False, capture_output=True)
