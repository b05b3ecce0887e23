"""Each stop says what to do next, in one sentence; once that is done, nothing has been lost."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.admin._resource import ResourceType
from pydantic import SecretStr
from typer.testing import CliRunner

from crm_online.settings import Settings
from crm_online.simulation.raw import RawEvent
from streams.cli import app as command_line
from streams.embedded import RealKafka, Valkey, kafka_available
from tests.conftest import CI
from tests.faults.brokers import PasswordKafka
from tests.faults.harness import assert_exact, assert_stops
from tests.streams.job import Process, Tail, job_settings, population, send, working

NOUNS = ("events", "scores", "outcomes", "models", "state")
APPLIED = 900  # events of the population before anything is wrong


class Job(NamedTuple):
    """A job that has come some way, and stands still."""

    settings: Settings
    kafka: RealKafka

    def admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.settings.kafka})

    def configure(self, noun: str, name: str, value: str) -> None:
        """Set one property of a topic."""
        entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
        topic = ConfigResource(
            ResourceType.TOPIC, self.settings.topic(noun), incremental_configs=[entry]
        )
        admin = self.admin()
        for done in admin.incremental_alter_configs([topic]).values():
            done.result(30)


async def come_some_way(settings: Settings, events: list[RawEvent]) -> None:
    """Apply and learn events, and leave some more on the log."""
    async with Tail(settings, *NOUNS) as tail:
        async with working(settings, ["score", "learn"]):
            await send(events[:APPLIED], settings, 10.0)
            await tail.until_applied()
            await tail.until_learned()
        await send(events[APPLIED:], settings, None)


@pytest.fixture(scope="module")
def job(real_kafka: RealKafka, valkey_server: Valkey) -> Job:
    """A job that came some way: those of its workers that start wrongly must leave it as it is."""
    name = f"t{uuid4().hex[:12]}"
    settings = job_settings(name, real_kafka, valkey_server, signing_key=SecretStr("ours"))
    asyncio.run(come_some_way(settings, population()))
    return Job(settings, real_kafka)


def changed(settings: Settings, **more: Any) -> Settings:
    given = {name: getattr(settings, name) for name in settings.model_fields_set}
    return Settings.model_validate(given | more)


@pytest.mark.real
@pytest.mark.asyncio
class TestWorkersThatStartWrongly:
    async def test_with_another_signing_key(self, job: Job, tmp_path: Path) -> None:
        wrong = changed(job.settings, signing_key=SecretStr("theirs"))
        with Process(wrong, tmp_path, ["score"]) as worker:
            await assert_stops(worker, 1, r"not signed with our key: give .* CRM_SIGNING_KEY")
        with Process(wrong, tmp_path, ["learn"]) as worker:
            await assert_stops(worker, 1, r"not signed with our key: give .* CRM_SIGNING_KEY")

    async def test_with_another_number_of_partitions(self, job: Job, tmp_path: Path) -> None:
        with Process(changed(job.settings, partitions=8), tmp_path) as worker:
            await assert_stops(
                worker, 2, rf"{job.settings.app}\.events has 4 .*: set CRM_PARTITIONS=4"
            )

    @pytest.mark.parametrize("noun", ["scores", "state"])
    async def test_where_a_topic_takes_no_record_of_this_size(
        self, noun: str, job: Job, tmp_path: Path
    ) -> None:
        job.configure(noun, "max.message.bytes", "100")
        try:
            with Process(job.settings, tmp_path, ["score"]) as worker:
                await assert_stops(
                    worker, 1, rf"{job.settings.app}\.{noun}\[\d\] .*raise max.message.bytes"
                )
        finally:
            job.configure(noun, "max.message.bytes", "1048588")

    async def test_and_the_one_that_starts_rightly_then_loses_nothing(
        self, job: Job, tmp_path: Path
    ) -> None:
        async with Tail(job.settings, *NOUNS) as tail:
            with Process(job.settings, tmp_path, ["score", "learn"]) as worker:
                await tail.until_applied()
                await tail.until_learned()
                assert worker.stop() == 0
            await tail.read_all()
        assert_exact(job.settings, tail)


@pytest.mark.real
@pytest.mark.asyncio
async def test_a_log_that_retention_has_cut_behind_the_state_is_not_skipped_silently(
    app: str, real_kafka: RealKafka, valkey: Valkey, tmp_path: Path
) -> None:
    settings = job_settings(app, real_kafka, valkey, signing_key=SecretStr("ours"))
    await come_some_way(settings, population())
    job, log = Job(settings, real_kafka), settings.topic("events")
    admin = job.admin()
    ends = [await asyncio.to_thread(end_of, settings, p) for p in range(settings.partitions)]
    cut = [TopicPartition(log, partition, end - 1) for partition, end in enumerate(ends)]
    for done in admin.delete_records(cut).values():
        done.result(30)
    with Process(settings, tmp_path, ["score"]) as worker:
        await assert_stops(
            worker, 1, rf"{app}\.events\[\d\]@\d+, but retention has removed .*CRM_RETENTION_DAYS"
        )


def end_of(settings: Settings, partition: int) -> int:
    from confluent_kafka import Consumer

    consumer = Consumer({"bootstrap.servers": settings.kafka, "group.id": "nobody"})
    place = TopicPartition(settings.topic("events"), partition)
    try:
        _, end = consumer.get_watermark_offsets(place, timeout=10.0)
        return int(end)
    finally:
        consumer.close()


def test_no_broker_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.admin.TIMEOUT_SECONDS", 1.0)
    done = CliRunner().invoke(command_line, ["worker", "--kafka", "127.0.0.1:9"])
    assert done.exit_code == 3
    said = said_by(done.stderr)
    assert len(said) == 1
    assert "127.0.0.1:9" in said[0]
    assert "check CRM_KAFKA" in said[0]


@pytest.fixture(scope="module")
def password_kafka(real_kafka: RealKafka) -> Iterator[PasswordKafka]:
    reason = kafka_available()
    if reason is not None:
        (pytest.fail if CI else pytest.skip)(reason)
    with PasswordKafka(heap_mb=512) as broker:
        yield broker


@pytest.mark.real
@pytest.mark.parametrize("declare", ["true", "false"])
def test_wrong_credentials(
    declare: str, password_kafka: PasswordKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.admin.TIMEOUT_SECONDS", 3.0)
    given = {
        "CRM_KAFKA": password_kafka.address,
        "CRM_KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
        "CRM_KAFKA_USERNAME": "crm",
        "CRM_KAFKA_PASSWORD": "guessed",
        "CRM_DECLARE_TOPICS": declare,
    }
    done = CliRunner().invoke(command_line, ["worker"], env=given)
    assert done.exit_code == 3
    said = said_by(done.stderr)
    assert len(said) == 1
    assert "CRM_KAFKA_PASSWORD" in said[0] or "the credentials" in said[0]
    assert "guessed" not in done.stderr


def said_by(stderr: str) -> list[str]:
    assert "Traceback" not in stderr
    return [line for line in stderr.splitlines() if line.startswith("crm-online: ")]
