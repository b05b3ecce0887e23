"""A real Kafka for tests and trials: Java 17 and the jars that ``make kafka`` fetches."""

from __future__ import annotations

import base64
import re
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from uuid import uuid4

import confluent_kafka
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from crm_online.errors import BrokerUnavailable
from streams.embedded.server import HOST, Server, free_ports

__all__ = ["KAFKA_LIBS", "RealKafka", "kafka_available"]

JAVA_VERSION = 17
KAFKA_LIBS = Path(__file__).resolve().parents[2] / ".kafka"
CREATE_SECONDS = 30.0
POLL_SECONDS = 0.02


class RealKafka(Server):
    """A real Kafka: one broker and controller in one Java process, on free ports.

    Parameters
    ----------
    libs
        Folder of Kafka's jars.
    heap_mb
        Upper limit of the Java heap, MB.
    cores
        Cores it may run on, all by default; Linux only.
    config
        More server settings, which win over those here.
    """

    name = "kafka"
    unavailable = BrokerUnavailable

    def __init__(
        self,
        libs: Path = KAFKA_LIBS,
        *,
        heap_mb: int = 1024,
        cores: Sequence[int] = (),
        config: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__()
        pin = ["taskset", "-c", ",".join(map(str, cores))] if cores else []
        self._java = [*pin, "java", f"-Xmx{heap_mb}m", "-cp", f"{libs}/*"]
        self._config = dict(config or {})
        port, self._controller_port = free_ports(2)
        self.address = f"{HOST}:{port}"

    def command(self) -> Sequence[str]:
        """Return the command line of the server; formats its folder at the first call."""
        properties = self.folder / "server.properties"
        if not properties.exists():
            lines = [f"{name}={value}\n" for name, value in self._properties().items()]
            properties.write_text("".join(lines), encoding="utf-8")
            self._format(properties)
        return [*self._java, "kafka.Kafka", str(properties)]

    def answers(self) -> bool:
        """Say whether it names its brokers."""
        try:
            return bool(self._admin().list_topics(timeout=1).brokers)
        except confluent_kafka.KafkaException:
            return False

    def create_topics(
        self, partitions: Mapping[str, int], config: Mapping[str, str] | None = None
    ) -> None:
        """Create topics and wait until they are there.

        Parameters
        ----------
        partitions
            Topic name to number of partitions.
        config
            Settings for each of them, such as ``{"cleanup.policy": "compact"}``.
        """
        topics = [NewTopic(name, n, 1, config=dict(config or {})) for name, n in partitions.items()]
        admin = self._admin()  # its answers die with it
        for created in admin.create_topics(topics).values():
            created.result(CREATE_SECONDS)
        deadline = time.monotonic() + CREATE_SECONDS
        while not partitions.keys() <= admin.list_topics().topics.keys():  # the broker hears of it
            if time.monotonic() > deadline:
                raise BrokerUnavailable("topics were created and are not there")
            time.sleep(POLL_SECONDS)

    def _admin(self) -> AdminClient:
        # Refused connections are expected while it starts: log what is critical only.
        return AdminClient({"bootstrap.servers": self.address, "log_level": 2})

    def _format(self, properties: Path) -> None:
        cluster = base64.urlsafe_b64encode(uuid4().bytes).decode().rstrip("=")
        tool = ["kafka.tools.StorageTool", "format", f"--cluster-id={cluster}", "-c"]
        done = subprocess.run(
            [*self._java, *tool, str(properties)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise BrokerUnavailable(f"kafka could not format its folder:\n{done.stderr}")

    def _properties(self) -> dict[str, str]:
        controller = f"{HOST}:{self._controller_port}"
        return {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@{controller}",
            "controller.listener.names": "CONTROLLER",
            "listeners": f"PLAINTEXT://{self.address},CONTROLLER://{controller}",
            "advertised.listeners": f"PLAINTEXT://{self.address}",
            "log.dirs": str(self.folder / "log"),
            # A test that forgets to create its topic should not get one by chance.
            "auto.create.topics.enable": "false",
            "group.initial.rebalance.delay.ms": "0",
            "offsets.topic.num.partitions": "4",
            "offsets.topic.replication.factor": "1",
            "transaction.state.log.num.partitions": "4",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            **self._config,
        }


def kafka_available(libs: Path = KAFKA_LIBS) -> str | None:
    """Say why a real Kafka cannot be started here.

    Parameters
    ----------
    libs
        Folder of Kafka's jars.

    Returns
    -------
    str or None
        A sentence that says how to turn it on; ``None`` where it can be started.
    """
    if _java_version() < JAVA_VERSION:
        return f"No real Kafka here: install Java {JAVA_VERSION} and Maven, then run 'make kafka'."
    if not any(libs.glob("kafka_*.jar")):
        return "No real Kafka here: install Maven, then run 'make kafka', which fetches it."
    return None


def _java_version() -> int:
    java = shutil.which("java")
    if java is None:
        return 0
    said = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    found = re.search(r'version "(\d+)', said)
    return int(found.group(1)) if found else 0
