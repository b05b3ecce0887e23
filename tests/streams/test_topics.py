"""The plan of topics, and what becomes of it on a broker."""

from __future__ import annotations

import time

import pytest
from confluent_kafka.admin import AdminClient

from crm_online.errors import BrokerUnavailable, ConfigurationError
from crm_online.settings import Settings
from streams.embedded import RealKafka
from streams.topics import SINGLE_PARTITION, Difference, create_missing, differences, plan


def make(broker: RealKafka, partitions: dict[str, int]) -> None:
    """Create topics and wait until the broker lists them."""
    broker.create_topics(partitions)
    admin = AdminClient({"bootstrap.servers": broker.address})
    while not partitions.keys() <= admin.list_topics(timeout=10).topics.keys():
        time.sleep(0.02)


def named(settings: Settings) -> list[str]:
    listed = AdminClient({"bootstrap.servers": settings.kafka}).list_topics(timeout=10).topics
    return sorted(name for name in listed if name.startswith(f"{settings.app}."))


def test_plan_gives_each_topic_the_policy_it_needs() -> None:
    topics = {topic.name.removeprefix("shop."): topic for topic in plan(Settings(app="shop"))}
    assert {noun for noun, topic in topics.items() if topic.partitions == 1} == SINGLE_PARTITION
    assert {noun for noun, t in topics.items() if t.config["cleanup.policy"] == "compact"} == {
        "scores",
        "recommendations",
        "items",
        "models",
        "state",
        "action-state",
    }
    assert topics["metrics"].config["cleanup.policy"] == "compact,delete"
    assert topics["events"].config == {
        "cleanup.policy": "delete",
        "retention.ms": str(30 * 24 * 3600 * 1000),
        "message.timestamp.type": "LogAppendTime",
    }
    for topic in topics.values():
        compacted = "compact" in topic.config["cleanup.policy"]
        assert (topic.config.get("min.compaction.lag.ms") == "3600000") is compacted
        assert (topic.config.get("delete.retention.ms") == "3600000") is compacted


@pytest.mark.real
def test_creates_what_is_missing_and_then_nothing_differs(real_kafka: RealKafka, app: str) -> None:
    settings = Settings(app=app, kafka=real_kafka.address, partitions=3)
    assert {d.name for d in differences(settings)} == {"topic"}
    assert create_missing(settings) == [topic.name for topic in plan(settings)]
    assert create_missing(settings) == []
    assert differences(settings) == []


@pytest.mark.real
def test_reports_what_differs_and_leaves_it(real_kafka: RealKafka, app: str) -> None:
    settings = Settings(app=app, kafka=real_kafka.address, partitions=3)
    make(real_kafka, {f"{app}.scores": 3, f"{app}.models": 2})
    create_missing(settings)
    found = differences(settings)
    assert Difference(f"{app}.scores", "cleanup.policy", "compact", "delete") in found
    assert Difference(f"{app}.models", "partitions", "1", "2") in found
    assert {difference.topic for difference in found} == {f"{app}.scores", f"{app}.models"}
    assert differences(settings) == found


@pytest.mark.real
def test_refuses_another_number_of_partitions_before_it_creates_any(
    real_kafka: RealKafka, app: str
) -> None:
    make(real_kafka, {f"{app}.events": 5})
    with pytest.raises(ConfigurationError, match=r"has 5 partitions and CRM_PARTITIONS says 3"):
        create_missing(Settings(app=app, kafka=real_kafka.address, partitions=3))
    assert named(Settings(app=app, kafka=real_kafka.address)) == [f"{app}.events"]


@pytest.mark.real
def test_checks_a_topic_that_someone_else_makes_in_the_same_moment(
    real_kafka: RealKafka, app: str
) -> None:
    settings = Settings(app=app, kafka=real_kafka.address, partitions=3)
    real_kafka.create_topics({f"{app}.events": 5})  # the broker may list it now or a little later
    with pytest.raises(ConfigurationError, match=r"has 5 partitions and CRM_PARTITIONS says 3"):
        create_missing(settings)


@pytest.mark.real
def test_a_plan_the_broker_refuses_names_the_setting(real_kafka: RealKafka, app: str) -> None:
    settings = Settings(app=app, kafka=real_kafka.address, replication_factor=3)
    with pytest.raises(ConfigurationError, match="check CRM_REPLICATION_FACTOR"):
        create_missing(settings)


def test_does_nothing_where_topics_are_not_ours_to_declare() -> None:
    settings = Settings(kafka="127.0.0.1:9", declare_topics=False)
    assert create_missing(settings) == []
    assert differences(settings) == []


def test_no_broker_is_an_error_that_names_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.topics.TIMEOUT_SECONDS", 1.0)
    with pytest.raises(BrokerUnavailable, match=r"127\.0\.0\.1:9.*check CRM_KAFKA"):
        create_missing(Settings(kafka="127.0.0.1:9"))
