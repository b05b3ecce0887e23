"""The plan of all topics: creates what is missing, reports what differs, changes nothing."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from crm_online.errors import BrokerUnavailable, ConfigurationError
from crm_online.settings import Settings
from streams.admin import TIMEOUT_SECONDS, Admin

__all__ = [
    "SINGLE_PARTITION",
    "Difference",
    "TopicPlan",
    "check_policies",
    "create_missing",
    "differences",
    "partition_count",
    "plan",
]

SINGLE_PARTITION: Final = frozenset(
    {"outcomes", "interactions", "items", "models", "metrics", "endpoints"}
)
COMPACTED: Final = frozenset(
    {"scores", "recommendations", "items", "models", "state", "action-state", "endpoints"}
)
DELETED: Final = frozenset(
    {"events", "outcomes", "interactions", "actions", "actions.retry", "dead-letters"}
)
# Where another policy loses what is still wanted.
KEPT: Final = ("state", "action-state", "models")
# Longer than any pause of a worker that may wake up and write stale snapshots.
HOUR_MS: Final = str(60 * 60 * 1000)
DAY_MS: Final = 24 * 60 * 60 * 1000
# Kafka's own default, stated where values are large in case the cluster's is smaller.
MAX_MESSAGE_BYTES: Final = "1048588"
LARGE: Final = frozenset({"models", "state", "interactions", "dead-letters"})
POLL_SECONDS: Final = 0.05

_log = logging.getLogger(__name__)


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
    admin, planned = Admin(settings), plan(settings)
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
    return _differences(Admin(settings), settings) if settings.declare_topics else []


def check_policies(settings: Settings) -> None:
    """Refuse a cleanup policy by which state or models get lost; warn of all else that differs.

    Raises
    ------
    BrokerUnavailable
        Where no broker answers, or it refuses us.
    ConfigurationError
        Naming the topic, its policy and what to do.
    """
    admin = Admin(settings)
    if not admin.has_controller():
        return  # the embedded broker: it keeps everything
    kept = {settings.topic(noun) for noun in KEPT}
    for topic, name, planned, found in _differences(admin, settings):
        if found is None:
            continue
        if topic in kept and name == "cleanup.policy":
            raise ConfigurationError(
                f"{topic} has cleanup.policy={found}, which loses what is still wanted: set it to "
                f"{planned} (kafka-configs.sh --alter --topic {topic} --add-config "
                f"cleanup.policy={planned}) and start again"
            )
        _log.warning("%s: %s is %s, planned %s", topic, name, found, planned)


def _differences(admin: Admin, settings: Settings) -> list[Difference]:
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


def _await(admin: Admin, planned: Iterable[TopicPlan]) -> dict[str, tuple[int, int]]:
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
    count = Admin(settings).count(topic)
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
    """Refuse unlike numbers of partitions, with the way out that fits."""
    single = {settings.topic(noun) for noun in SINGLE_PARTITION}
    keyed = [topic.name for topic in planned if topic.name not in single]
    counts = {name: found[name][0] for name in keyed if name in found}
    events, said = settings.topic("events"), settings.partitions
    have = counts.get(events, said)
    smaller = next((name for name, count in counts.items() if count < have), None)
    if have != said:
        then = f", stop all workers and {_ADOPT}" if smaller else ": all keyed topics have as many"
        raise ConfigurationError(
            f"{events} has {have} partitions and CRM_PARTITIONS says {said}: set "
            f"CRM_PARTITIONS={have}{then}"
        )
    if smaller is not None:
        raise ConfigurationError(
            f"{smaller} has {counts[smaller]} partitions and {events} has {have}: partitions were "
            f"added; stop all workers and {_ADOPT}"
        )
    larger = next((name for name, count in counts.items() if count > have), None)
    if larger is not None:
        raise ConfigurationError(
            f"{larger} has {counts[larger]} partitions and CRM_PARTITIONS says {said}: delete the "
            f"topic and make it anew, or give {events} as many and {_ADOPT}"
        )


_ADOPT: Final = "run `crm-online adopt`, which gives all topics as many and moves the customers"
