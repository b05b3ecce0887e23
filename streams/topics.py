"""The plan of all topics: creates what is missing, reports what differs, changes nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.admin._resource import ResourceType
from confluent_kafka.cimpl import NewTopic

from crm_online.errors import BrokerUnavailable, ConfigurationError
from crm_online.settings import Settings
from streams.connection import admin_options

__all__ = [
    "SINGLE_PARTITION",
    "Difference",
    "TopicPlan",
    "create_missing",
    "differences",
    "partition_count",
    "plan",
]

SINGLE_PARTITION: Final = frozenset({"outcomes", "interactions", "items", "models", "metrics"})
COMPACTED: Final = frozenset(
    {"scores", "recommendations", "items", "models", "state", "action-state"}
)
DELETED: Final = frozenset(
    {"events", "outcomes", "interactions", "actions", "actions.retry", "dead-letters"}
)
# Longer than any pause of a worker that may wake up and write stale snapshots.
HOUR_MS: Final = str(60 * 60 * 1000)
DAY_MS: Final = 24 * 60 * 60 * 1000
# Kafka's own default, stated where values are large in case the cluster's is smaller.
MAX_MESSAGE_BYTES: Final = "1048588"
LARGE: Final = frozenset({"models", "state", "interactions", "dead-letters"})
TIMEOUT_SECONDS: Final = 15.0
POLL_SECONDS: Final = 0.05


@dataclass(frozen=True, slots=True)
class TopicPlan:
    """One topic as it should be.

    Parameters
    ----------
    name
        In full, such as ``crm.events``.
    partitions, replication_factor
        Counts.
    config
        Topic configuration by Kafka's names; what is not named is the cluster's.
    """

    name: str
    partitions: int
    replication_factor: int
    config: dict[str, str] = field(default_factory=dict)


class Difference(NamedTuple):
    """One property of a topic that is not as planned; ``found`` is ``None`` for a missing topic."""

    topic: str
    name: str
    planned: str
    found: str | None


def plan(settings: Settings) -> tuple[TopicPlan, ...]:
    """Return every topic, sorted by name.

    Examples
    --------
    >>> state = next(t for t in plan(Settings(partitions=4)) if t.name == "crm.state")
    >>> state.partitions, state.config["cleanup.policy"]
    (4, 'compact')
    """
    return tuple(
        TopicPlan(
            settings.topic(noun),
            1 if noun in SINGLE_PARTITION else settings.partitions,
            settings.replication_factor,
            _config(noun, settings),
        )
        for noun in sorted(COMPACTED | DELETED | {"metrics"})
    )


def create_missing(settings: Settings) -> list[str]:
    """Create the topics that are not there; returns their names.

    What is there stays as it is: see `differences`. Nothing is done where
    ``declare_topics`` is off.

    Raises
    ------
    BrokerUnavailable
        Where no broker answers, or it refuses us.
    ConfigurationError
        Where existing topics have another number of partitions than the settings, or a topic
        cannot be created as planned.
    """
    if not settings.declare_topics:
        return []
    admin, planned = _Admin(settings), plan(settings)
    found = admin.partitions()
    _check_partitions(settings, found, planned)
    created = admin.create([topic for topic in planned if topic.name not in found])
    # Someone else may have made one in the meantime, and otherwise.
    _check_partitions(settings, _await(admin, planned), planned)
    return created


def differences(settings: Settings) -> list[Difference]:
    """Return all that is not as planned, missing topics included; changes nothing.

    Raises
    ------
    BrokerUnavailable
        Where no broker answers, or it refuses us.
    """
    if not settings.declare_topics:
        return []
    admin = _Admin(settings)
    found, planned = admin.partitions(), plan(settings)
    present = [topic for topic in planned if topic.name in found]
    configs = admin.configs(topic.name for topic in present)
    missing = [
        Difference(topic.name, "topic", f"{topic.partitions} partitions", None)
        for topic in planned
        if topic.name not in found
    ]
    differing = [
        Difference(topic.name, name, planned, actual)
        for topic in present
        for name, planned, actual in _compare(topic, found[topic.name], configs[topic.name])
        if planned != actual
    ]
    return missing + differing


def _await(admin: _Admin, planned: Iterable[TopicPlan]) -> dict[str, tuple[int, int]]:
    """Wait until the brokers have heard of topics that their controller has created."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        found = admin.partitions()
        if all(topic.name in found for topic in planned):
            return found
        time.sleep(POLL_SECONDS)
    raise BrokerUnavailable("topics were created and are not there: look into the brokers' logs")


def partition_count(settings: Settings, noun: str) -> int:
    """Ask how many partitions a topic has; a broker that makes topics at first use makes this one.

    Raises
    ------
    BrokerUnavailable
        Where no broker answers, or it refuses us.
    ConfigurationError
        Where there is no such topic.
    """
    topic = settings.topic(noun)
    count = _Admin(settings).count(topic)
    if not count:
        raise ConfigurationError(
            f"{topic} does not exist: run `crm-online topics`, or correct CRM_APP"
        )
    return count


def _config(noun: str, settings: Settings) -> dict[str, str]:
    config = {"cleanup.policy": "compact,delete" if noun == "metrics" else "delete"}
    if noun in COMPACTED:
        config = {"cleanup.policy": "compact"}
    if noun not in DELETED:
        config |= {"min.compaction.lag.ms": HOUR_MS, "delete.retention.ms": HOUR_MS}
    if noun not in COMPACTED:
        config["retention.ms"] = str(int(settings.retention_days * DAY_MS))
    if noun == "events":
        config["message.timestamp.type"] = "LogAppendTime"
    if noun in LARGE:
        config["max.message.bytes"] = MAX_MESSAGE_BYTES
    return config


def _compare(
    topic: TopicPlan, found: tuple[int, int], config: dict[str, str]
) -> Iterable[tuple[str, str, str]]:
    yield "partitions", str(topic.partitions), str(found[0])
    yield "replication.factor", str(topic.replication_factor), str(found[1])
    for name, planned in topic.config.items():
        yield name, planned, ",".join(sorted(config.get(name, "").split(",")))


def _check_partitions(
    settings: Settings, found: dict[str, tuple[int, int]], planned: Iterable[TopicPlan]
) -> None:
    for topic in planned:
        count = found.get(topic.name, (topic.partitions, 0))[0]
        if topic.partitions > 1 and count != topic.partitions:
            raise ConfigurationError(
                f"{topic.name} has {count} partitions and CRM_PARTITIONS says "
                f"{settings.partitions}: all keyed topics must have the same number. Set "
                f"CRM_PARTITIONS to that of {settings.topic('events')}, or make the topic anew."
            )


class _Admin:
    """confluent-kafka's admin client, with errors that say what to do."""

    def __init__(self, settings: Settings) -> None:
        self._kafka = settings.kafka
        self._said = ""
        options = admin_options(settings) | {"log_level": 0, "error_cb": self._hear}
        self._admin = AdminClient(options)

    def _hear(self, error: KafkaError) -> None:
        self._said = error.str()

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
            return question()
        except KafkaException as error:
            raise self._explain(error.args[0], "Kafka does not answer") from error

    def _explain(self, reason: KafkaError, what: str) -> Exception:
        said = f"{reason.str()}; {self._said}" if self._said else reason.str()
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
