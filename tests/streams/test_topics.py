"""The plan of topics, and what becomes of it on a broker."""

from __future__ import annotations

import time

import pytest
from confluent_kafka.admin import AdminClient

from crm_online.errors import BrokerUnavailable, ConfigurationError
from crm_online.log import Origin
from crm_online.settings import Settings
from streams.admin import Admin
from streams.embedded import MockBroker, RealKafka
from streams.topics import (
    SINGLE_PARTITION,
    Difference,
    check_policies,
    create_missing,
    differences,
    plan,
)


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
        "endpoints",
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
@pytest.mark.parametrize(("said", "first"), [(5, "state has 3 partitions and "), (3, "")])
def test_partitions_that_were_added_to_the_events_are_to_be_adopted(
    real_kafka: RealKafka, app: str, said: int, first: str
) -> None:
    make(real_kafka, {f"{app}.events": 5, f"{app}.state": 3})
    settings = Settings(app=app, kafka=real_kafka.address, partitions=said)
    with pytest.raises(ConfigurationError) as caught:
        create_missing(settings)
    told = str(caught.value)
    assert f"{app}.{first}" in told
    assert f"{app}.events has 5" in told
    assert "`crm-online adopt`" in told
    assert ("CRM_PARTITIONS=5" in told) is (said == 3)
    assert named(settings) == [f"{app}.events", f"{app}.state"]


@pytest.mark.real
@pytest.mark.parametrize("noun", ["state", "models", "action-state"])
@pytest.mark.parametrize("policy", ["delete", "compact,delete"])
def test_a_cleanup_policy_that_loses_state_is_refused(
    real_kafka: RealKafka, app: str, noun: str, policy: str
) -> None:
    settings = Settings(app=app, kafka=real_kafka.address, partitions=1)
    real_kafka.create_topics({f"{app}.{noun}": 1}, {"cleanup.policy": policy})
    create_missing(settings)
    with pytest.raises(ConfigurationError) as caught:
        check_policies(settings)
    told = str(caught.value)
    assert told.startswith(f"{app}.{noun} has cleanup.policy={policy}, ")
    assert f"--topic {app}.{noun} --add-config cleanup.policy=compact" in told


@pytest.mark.real
def test_what_else_differs_is_said_and_no_more(
    real_kafka: RealKafka, app: str, caplog: pytest.LogCaptureFixture
) -> None:
    settings = Settings(app=app, kafka=real_kafka.address, partitions=1)
    real_kafka.create_topics({f"{app}.scores": 1})
    create_missing(settings)
    check_policies(settings)
    assert f"{app}.scores: cleanup.policy is delete, planned compact" in caplog.messages


def test_the_embedded_broker_has_no_policies(mock_broker: MockBroker, app: str) -> None:
    check_policies(Settings(app=app, kafka=mock_broker.address, declare_topics=False))


@pytest.mark.real
def test_a_topic_made_anew_has_another_id(real_kafka: RealKafka, app: str) -> None:
    settings = Settings(app=app, kafka=real_kafka.address)
    admin, topic = Admin(settings), f"{app}.events"
    assert admin.origin(topic) == Origin(topic, "", 0)
    make(real_kafka, {topic: 3})
    first = admin.origin(topic)
    assert first == Origin(topic, first.topic_id, 3)
    client = AdminClient({"bootstrap.servers": real_kafka.address})
    client.delete_topics([topic])[topic].result(30)
    while topic in client.list_topics(timeout=10).topics:
        time.sleep(0.02)
    make(real_kafka, {topic: 3})
    assert len({first.topic_id, admin.origin(topic).topic_id, ""}) == 3


def test_the_embedded_broker_tells_no_id(mock_broker: MockBroker, app: str) -> None:
    admin = Admin(Settings(app=app, kafka=mock_broker.address))
    assert admin.origin(f"{app}.events") == Origin(f"{app}.events", "", 4)
    assert admin.ends(f"{app}.events", [0, 3]) == {0: 0, 3: 0}


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
    monkeypatch.setattr("streams.admin.TIMEOUT_SECONDS", 1.0)
    with pytest.raises(BrokerUnavailable, match=r"127\.0\.0\.1:9.*check CRM_KAFKA"):
        create_missing(Settings(kafka="127.0.0.1:9"))
