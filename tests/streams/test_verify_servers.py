"""Servers of a verification that are the user's: asked before, and left as they were."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys

import pytest
from confluent_kafka.admin import AdminClient
from pydantic import SecretStr
from redis import Redis

from crm_online.errors import BrokerUnavailable, SinkUnavailable
from crm_online.settings import Settings
from streams.embedded import MockBroker, RealKafka, Valkey
from streams.topics import create_missing
from streams.verify.cleaning import remove_all
from streams.verify.command import verify
from streams.verify.run import Trial
from streams.verify.servers import DurableValkey, Servers

NOWHERE = "127.0.0.1:1"
MEMBER = """
import sys
from confluent_kafka import Consumer
address, group, topic = sys.argv[1:]
consumer = Consumer(
    {"bootstrap.servers": address, "group.id": group, "session.timeout.ms": 6000}
)
consumer.subscribe([topic])
while True:
    consumer.poll(0.1)
    if consumer.assignment():
        print("in", flush=True)
"""


def test_a_broker_that_is_away_is_said_at_once(
    valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.admin.TIMEOUT_SECONDS", 1.0)
    settings = Settings(kafka=NOWHERE, redis=SecretStr(valkey.url))
    with pytest.raises(BrokerUnavailable, match="check CRM_KAFKA"):
        verify(settings, Trial(1000, 1, 1))


def test_a_cache_that_is_away_is_said_before_anything_runs(mock_broker: MockBroker) -> None:
    settings = Settings(kafka=mock_broker.address, redis=SecretStr(f"redis://{NOWHERE}/0"))
    with pytest.raises(SinkUnavailable, match="CRM_REDIS"):
        verify(settings, Trial(1000, 1, 1))


def test_outages_of_the_cache_follow_each_other() -> None:
    async def outages(cache: DurableValkey) -> None:
        servers = Servers(Settings(), None, cache)
        crashes = (False, True, True, False)
        await asyncio.gather(*(servers.cut_cache(0.2, crash=crash) for crash in crashes))

    with DurableValkey() as cache:
        asyncio.run(outages(cache))
        with Redis.from_url(cache.url) as client:
            assert client.ping()


@pytest.mark.real
def test_groups_of_killed_members_are_removed_once_their_session_is_over(
    app: str, real_kafka: RealKafka, valkey: Valkey
) -> None:
    settings = Settings(
        app=app,
        kafka=real_kafka.address,
        redis=SecretStr(valkey.url),
        partitions=1,
        session_timeout_seconds=6.0,
    )
    create_missing(settings)
    member = [sys.executable, "-c", MEMBER, settings.kafka, f"{app}-score", f"{app}.events"]
    with subprocess.Popen(member, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"in\n"
        process.send_signal(signal.SIGKILL)
    assert remove_all(Servers(settings, None, None)) == []
    admin = AdminClient({"bootstrap.servers": settings.kafka})
    groups = admin.list_consumer_groups().result(10).valid
    assert not [each for each in groups if each.group_id.startswith(app)]
    assert not [name for name in admin.list_topics(timeout=10).topics if name.startswith(app)]
