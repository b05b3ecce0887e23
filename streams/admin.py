"""What is asked of the broker's administration, with errors that say what to do."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from confluent_kafka import KafkaError, KafkaException, TopicCollection, TopicPartition

# Where they are defined: what confluent_kafka.admin imports, mypy takes for private to it.
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.admin._listoffsets import OffsetSpec
from confluent_kafka.admin._resource import ResourceType
from confluent_kafka.cimpl import NewPartitions, NewTopic

from crm_online.errors import BrokerUnavailable, ConfigurationError
from crm_online.log import Origin
from crm_online.settings import Settings
from streams.connection import admin_options
from streams.patience import trying

if TYPE_CHECKING:
    from streams.topics import TopicPlan

__all__ = ["TIMEOUT_SECONDS", "Admin"]

TIMEOUT_SECONDS: Final = 15.0
POLL_SECONDS: Final = 0.1
# What a broker says while it finds out who is to know of a group or a topic that is new.
MOVING: Final = frozenset(
    {
        KafkaError.NOT_COORDINATOR,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
    }
)
NO_ID: Final = "A" * 22  # what a broker that knows no ids is taken to have said


class Admin:
    """confluent-kafka's admin client, with errors that say what to do.

    Parameters
    ----------
    settings
        Where Kafka is.
    """

    def __init__(self, settings: Settings) -> None:
        self._kafka = settings.kafka
        self._said = ""
        self._refused = False
        options = admin_options(settings) | {"log_level": 0, "error_cb": self._hear}
        self._admin = AdminClient(options)

    def _hear(self, error: KafkaError) -> None:
        self._said = error.str()
        self._refused |= error.code() == KafkaError._AUTHENTICATION  # noqa: SLF001 - its name

    def partitions(self) -> dict[str, tuple[int, int]]:
        """Topic to its numbers of partitions and replicas."""
        metadata = self._ask(lambda: self._admin.list_topics(timeout=TIMEOUT_SECONDS))
        return {
            name: (len(topic.partitions), len(topic.partitions[0].replicas))
            for name, topic in metadata.topics.items()
            if topic.partitions
        }

    def count(self, topic: str) -> int:
        """Count the partitions of one topic; 0 where it does not exist."""
        metadata = self._ask(lambda: self._admin.list_topics(topic, timeout=TIMEOUT_SECONDS))
        return len(metadata.topics[topic].partitions)

    def has_controller(self) -> bool:
        """Tell whether somebody is there to answer for topics; the embedded broker has nobody."""
        metadata = self._ask(lambda: self._admin.list_topics(timeout=TIMEOUT_SECONDS))
        return metadata.controller_id in metadata.brokers

    def origin(self, topic: str) -> Origin:
        """Say which topic of this name is there: its id, where the broker tells it, and its size.

        Returns
        -------
        Origin
            With no partitions where there is no such topic.
        """
        metadata = self._ask(lambda: self._admin.list_topics(topic, timeout=TIMEOUT_SECONDS))
        count = len(metadata.topics[topic].partitions)
        if not count or metadata.controller_id not in metadata.brokers:
            return Origin(topic, "", count)  # the embedded broker has no controller to ask
        wanted = TopicCollection([topic])
        futures = self._admin.describe_topics(wanted, request_timeout=TIMEOUT_SECONDS)
        found = str(self._ask(futures[topic].result).topic_id)
        return Origin(topic, "" if found == NO_ID else found, count)

    def begins(self, topic: str, partitions: Iterable[int]) -> dict[int, int]:
        """Partition to the offset of its first record."""
        earliest: Any = OffsetSpec
        return self._offsets(topic, partitions, earliest.earliest())

    def ends(self, topic: str, partitions: Iterable[int]) -> dict[int, int]:
        """Partition to the offset behind its last record."""
        latest: Any = OffsetSpec
        return self._offsets(topic, partitions, latest.latest())

    def _offsets(self, topic: str, partitions: Iterable[int], which: OffsetSpec) -> dict[int, int]:
        wanted = {TopicPartition(topic, partition): which for partition in partitions}
        if not wanted:
            return {}

        def ask() -> dict[int, int]:
            futures = self._admin.list_offsets(wanted, request_timeout=TIMEOUT_SECONDS)
            return {tp.partition: future.result().offset for tp, future in futures.items()}

        found: dict[int, int] = self._ask(lambda: _patiently(ask))
        return found

    def members(self, group: str) -> int:
        """Count the members of a consumer group; 0 where there is no such group."""

        def ask() -> int:
            found = self._admin.describe_consumer_groups([group], request_timeout=TIMEOUT_SECONDS)
            return len(found[group].result().members)

        try:
            return int(_patiently(ask))
        except KafkaException as error:
            if error.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND:
                return 0
            raise self._explain(error.args[0], f"{group} cannot be looked at") from error

    def grow(self, counts: Mapping[str, int]) -> None:
        """Give topics more partitions, and wait until they have them."""
        wanted = [NewPartitions(name, count) for name, count in counts.items()]
        if not wanted:
            return
        futures = self._admin.create_partitions(wanted, operation_timeout=TIMEOUT_SECONDS)
        for name, future in futures.items():
            try:
                future.result()
            except KafkaException as error:
                raise self._explain(error.args[0], f"{name} cannot be given more") from error

    def configs(self, names: Iterable[str]) -> dict[str, dict[str, str]]:
        """Topic to its configuration."""
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
        if not resources:
            return {}
        futures = self._admin.describe_configs(resources, request_timeout=TIMEOUT_SECONDS)
        return {
            resource.name: {entry.name: entry.value for entry in self._ask(future.result).values()}
            for resource, future in futures.items()
        }

    def create(self, topics: list[TopicPlan]) -> list[str]:
        """Create topics; returns the names of those that nobody else created meanwhile."""
        if not topics:
            return []
        created = []
        wanted = [
            NewTopic(t.name, t.partitions, t.replication_factor, config=dict(t.config))
            for t in topics
        ]
        futures = self._admin.create_topics(wanted, operation_timeout=TIMEOUT_SECONDS)
        for name, future in futures.items():
            try:
                future.result()
                created.append(name)
            except KafkaException as error:
                reason = error.args[0]
                if reason.code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise self._explain(reason, f"{name} cannot be created") from error
        return created

    def _ask(self, question: Callable[[], Any]) -> Any:
        try:
            with trying(f"Kafka at {self._kafka}"):
                return question()
        except KafkaException as error:
            raise self._explain(error.args[0], "Kafka does not answer") from error

    def _explain(self, reason: KafkaError, what: str) -> Exception:
        said = f"{reason.str()}; {self._said}" if self._said else reason.str()
        if self._refused:
            return BrokerUnavailable(
                f"Kafka at {self._kafka} refused our credentials ({said}): check "
                "CRM_KAFKA_USERNAME, CRM_KAFKA_PASSWORD and CRM_KAFKA_SASL_MECHANISM"
            )
        if reason.code() in {
            KafkaError.INVALID_REPLICATION_FACTOR,
            KafkaError.INVALID_CONFIG,
            KafkaError.POLICY_VIOLATION,
        }:
            return ConfigurationError(
                f"{what} ({said}): check CRM_REPLICATION_FACTOR, or create it by hand and set "
                "CRM_DECLARE_TOPICS=false"
            )
        return BrokerUnavailable(
            f"{what} at {self._kafka} ({said}): check CRM_KAFKA, CRM_KAFKA_SECURITY_PROTOCOL and "
            "the credentials"
        )


def _patiently(ask: Callable[[], Any]) -> Any:
    """Ask again for as long as the brokers are finding each other."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while True:
        try:
            return ask()
        except KafkaException as error:
            if error.args[0].code() not in MOVING or time.monotonic() > deadline:
                raise
        time.sleep(POLL_SECONDS)
