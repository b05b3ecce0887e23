"""Commands on a job that stands still: it goes on elsewhere, or anew, as if nothing had been."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest
from confluent_kafka.admin import AdminClient
from typer.testing import CliRunner, Result

from crm_online.customers.store import decode_state
from crm_online.errors import BrokerUnavailable
from crm_online.inprocess import InProcess
from crm_online.internal import PROGRESS_KEY, RESET_KEY
from crm_online.learning import Learner
from crm_online.log import LogRecord
from crm_online.models.snapshots import SnapshotReader
from crm_online.settings import Settings
from streams.cli import app as command_line
from streams.embedded import RealKafka, Valkey
from streams.topics import create_missing
from streams.upkeep import appending
from streams.upkeep.writing import Writer
from tests.models.pickles import spelled_out
from tests.streams.job import (
    ROLES,
    Process,
    Tail,
    cached,
    comparable,
    in_turn,
    job_settings,
    newest,
    population,
    send,
    shelved,
    until,
    working,
)

pytestmark = [pytest.mark.asyncio, pytest.mark.real]
NOUNS = ("events", "scores", "recommendations", "outcomes", "interactions", "models", "state")
LEARNED = ("churn", "value", "segments", "clusters", "quality")
EVENTS = population(40, 45.0)
HALF = len(EVENTS) // 2


def run(settings: Settings, *arguments: str) -> Result:
    flags = [
        part
        for name in ("kafka", "app", "partitions", "session_timeout_seconds")
        for part in ("--set", f"{name}={getattr(settings, name)}")
    ]
    return CliRunner().invoke(command_line, [*arguments, *flags], env={"COLUMNS": "200"})


async def command(settings: Settings, *arguments: str) -> Result:
    return await asyncio.to_thread(run, settings, *arguments)


async def done(settings: Settings, *arguments: str) -> Result:
    result = await command(settings, *arguments)
    assert result.exit_code == 0, result.output
    return result


async def score(settings: Settings, tail: Tail, events: Sequence[Any]) -> None:
    """Run the whole job over some events, to the end."""
    async with working(settings, ROLES):
        await send(events, settings, 10.0)
        await finished(settings, tail)
        await until(partial(_cached, settings, newest(tail.records["scores"])))


async def finished(settings: Settings, tail: Tail) -> None:
    await tail.until_applied()
    await tail.until_learned()
    await tail.read_all()


def continued(*tails: Tail) -> dict[int, list[LogRecord]]:
    """Number the records of several logs as one log."""
    found: dict[int, list[LogRecord]] = {}
    for tail in tails:
        for number, records in in_turn(tail.records["events"]).items():
            held = found.setdefault(number, [])
            held += [
                LogRecord(offset, r.timestamp, r.key, r.value, r.headers)
                for offset, r in enumerate(records, len(held))
            ]
    return found


def truth_of(settings: Settings, log: dict[int, list[LogRecord]]) -> dict[str, dict[str, Any]]:
    """Return what an undisturbed run makes of a log."""
    both = InProcess(settings, settings.partitions)
    for number, records in log.items():
        list(both.process(number, records))
    return {
        customer: placeless(decode_state(packed))
        for held in both.scorer.partitions.values()
        for customer, packed in held.store.packed.items()
    }


def placeless(state: Any) -> dict[str, Any]:
    fields = comparable(state)
    for name in ("epoch", "as_of", "scored_as_of"):
        del fields[name]
    return fields


def assert_states(expected: dict[str, dict[str, Any]], *tails: Tail) -> None:
    found = shelved(record for tail in tails for record in tail.records["state"])
    assert len(expected) > 30
    assert found.keys() == expected.keys()
    for customer, state in found.items():
        assert placeless(state) == expected[customer], customer


def assert_learned_once(settings: Settings, models: Sequence[Any], outcomes: Sequence[Any]) -> None:
    """Compare the newest models with those of a learner that reads these outcomes in one go."""
    reader = SnapshotReader(settings.signing_key.get_secret_value().encode())
    snapshots = {s.name: s for r in models for s in reader.apply([r])}
    found, learner = Learner(settings), Learner(settings)
    found.restore(snapshots.values())
    records = [LogRecord(i, 0, r.key, r.value, r.headers) for i, r in enumerate(outcomes)]
    learner.process("outcomes", records)
    assert learner.quality.settled > 20
    for name in LEARNED:
        one, other = found.slots[name].model, learner.slots[name].model
        assert spelled_out(one) == spelled_out(other), name


async def make_anew(settings: Settings, *nouns: str) -> None:
    """Delete topics, and create them under the same names."""
    admin = AdminClient({"bootstrap.servers": settings.kafka})
    names = [settings.topic(noun) for noun in nouns]
    for future in admin.delete_topics(names).values():
        await asyncio.to_thread(future.result, 30)
    await until(lambda: not set(names) & admin.list_topics(timeout=10).topics.keys())
    assert await asyncio.to_thread(create_missing, settings) == sorted(names)


async def refusal(settings: Settings, folder: Path, *roles: str) -> str:
    """Start a worker that must end by itself; returns what it says, without a traceback."""
    with Process(settings, folder, roles) as worker:
        await until(lambda: worker.process.poll() is not None)
        assert worker.process.returncode not in {0, None}
        said = worker.log.read_text()
    assert "Traceback" not in said
    return said


@pytest.fixture
def settings(app: str, real_kafka: RealKafka, valkey: Valkey) -> Settings:
    return job_settings(app, real_kafka, valkey)


@pytest.mark.parametrize("arguments", [("adopt",), ("reset", "--yes"), ("backup", "copy")])
async def test_a_job_that_is_not_there_is_named(
    settings: Settings, tmp_path: Path, arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = await command(settings, *arguments)
    assert result.exit_code == 2, result.output
    assert f"{settings.app}.events does not exist" in result.stderr
    assert not result.stdout


async def test_goes_on_with_the_state_on_a_log_made_anew(
    settings: Settings, tmp_path: Path
) -> None:
    async with Tail(settings, *NOUNS) as before:
        await score(settings, before, EVENTS[:HALF])
        assert "nothing to adopt" in (await done(settings, "adopt")).stdout
        await make_anew(settings, "events")
        said = await refusal(settings, tmp_path, "score")
        assert f"{settings.app}.events was made anew" in said
        assert "run `crm-online adopt`" in said
        result = await done(settings, "adopt", "--yes", "--json")
        assert json.loads(result.stdout)["partitions on a new log"] == settings.partitions
        assert "nothing to adopt" in (await done(settings, "adopt")).stdout
    async with Tail(settings, *NOUNS) as after:
        await score(settings, after, EVENTS[HALF:])
        assert_states(truth_of(settings, continued(before, after)), after)
        assert_learned_once(settings, after.records["models"], after.records["outcomes"])


async def _cached(settings: Settings, last: dict[str, bytes]) -> bool:
    return await cached(settings, "scores", last) == last


async def test_everything_is_computed_anew(settings: Settings) -> None:
    async with Tail(settings, *NOUNS) as tail:
        hasty = settings.model_copy(update={"session_timeout_seconds": 0.1})
        async with working(settings, ROLES):
            await send(EVENTS, settings, 10.0)
            await finished(settings, tail)
            busy = [await command(hasty, name, "--yes") for name in ("reset", "adopt")]
        assert [each.exit_code for each in busy] == [2, 2]
        assert all("stop all workers" in each.stderr for each in busy)
        unasked = await command(settings, "reset")
        assert (unasked.exit_code, unasked.stdout) == (2, "")
        assert "say --yes" in unasked.stderr
        result = await done(settings, "reset", "--yes", "--json")
        assert json.loads(result.stdout)["epoch"] == 1
        await tail.read_all()
        start = {noun: len(tail.records[noun]) for noun in NOUNS}
        async with working(settings, ROLES):
            await finished(settings, tail)
            last = newest(tail.records["scores"])
            await until(partial(_cached, settings, last))
        states = tail.records["state"][start["state"] :]
        gone = {r.key for r in states if r.value is None}
        assert {r.key for r in states if r.value} - {PROGRESS_KEY} <= gone
        tail.records["state"] = states
        assert_states(truth_of(settings, continued(tail)), tail)
        outcomes = tail.records["outcomes"]
        (at,) = [i for i, r in enumerate(outcomes) if r.key == RESET_KEY]
        assert 0 < at < len(outcomes) - 1
        assert_learned_once(settings, tail.records["models"], outcomes[at:])
        scores = tail.records["scores"][start["scores"] :]
        assert {orjson.loads(r.value)["source"]["epoch"] for r in scores if r.key[:1] != b"\0"} == {
            1
        }


@pytest.mark.long
async def test_a_job_goes_on_where_its_broker_was_lost(
    app: str, own_kafka: RealKafka, valkey: Valkey, tmp_path: Path
) -> None:
    lost = job_settings(app, own_kafka, valkey)
    folder = tmp_path / "copy"
    async with Tail(lost, *NOUNS) as before:
        await score(lost, before, EVENTS[:HALF])
        await done(lost, "backup", str(folder))
    own_kafka.stop()
    with RealKafka() as fresh:
        settings = job_settings(app, fresh, valkey)
        result = await done(settings, "restore", str(folder))
        assert "crm-online adopt" in result.stdout
        again = await command(settings, "restore", str(folder))
        assert again.exit_code == 2
        assert "holds records already" in again.stderr
        for role in ("score", "learn"):
            assert "run `crm-online adopt`" in await refusal(settings, tmp_path, role)
        await done(settings, "adopt", "--yes")
        async with Tail(settings, *NOUNS) as after:
            await score(settings, after, EVENTS[HALF:])
            assert_states(truth_of(settings, continued(before, after)), after)
            outcomes = before.records["outcomes"] + after.records["outcomes"]
            assert_learned_once(settings, after.records["models"], outcomes)


class Interrupted:
    """Lets so many writes to a topic through, and then none."""

    def __init__(self, noun: str, writes: int) -> None:
        self._noun, self._left = noun, writes
        self._write = Writer.write

    async def __call__(self, writer: Writer, noun: str, partition: int, messages: Any) -> None:
        if noun == self._noun:
            self._left -= 1
        if self._left < 0:
            raise BrokerUnavailable("interrupted")
        await self._write(writer, noun, partition, messages)


@pytest.mark.long
async def test_customers_move_with_their_events_where_partitions_were_added(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = EVENTS[:HALF], EVENTS[HALF : HALF + 200], EVENTS[HALF + 200 :]
    more = settings.model_copy(update={"partitions": 6})
    async with Tail(settings, *NOUNS) as tail:
        await score(settings, tail, parts[0])
    await send(parts[1], settings, None)
    admin = AdminClient({"bootstrap.servers": settings.kafka})
    await _add_partitions(admin, settings, 6)
    await send(parts[2], more, None)
    for each in (settings, more):
        assert "run `crm-online adopt`" in await refusal(each, tmp_path, "score")
    monkeypatch.setattr(appending, "LOT", 50)
    writes = settings.partitions * 3 + 2  # begun, moved; then some of the own records
    for noun, count in (("state", 9), ("events", 20), ("state", writes)):
        interrupted = Interrupted(noun, count)
        with monkeypatch.context() as patch:
            patch.setattr(Writer, "write", lambda *args, _=interrupted: _(*args))
            result = await command(more, "adopt", "--yes")
        assert "interrupted" in result.stderr, result.output
        assert result.exit_code == 3
        assert "run `crm-online adopt`" in await refusal(more, tmp_path, "score")
    await done(more, "adopt", "--yes")
    copies = await _copies(more)
    assert len(copies) == len(set(copies)) == len(EVENTS) - HALF
    assert "nothing to adopt" in (await done(more, "adopt")).stdout
    async with Tail(more, *NOUNS) as after, working(more, ROLES):
        await finished(more, after)
    async with Tail(more, *NOUNS) as whole:
        await whole.read_all()
        assert len(await _living(whole)) > 30
        expected = await _in_process(more)
        assert_states(expected, whole)


async def _copies(settings: Settings) -> list[bytes]:
    async with Tail(settings, "events") as tail:
        await tail.read_all()
        found = [dict(record.headers).get(appending.COPY_OF) for record in tail.records["events"]]
    return [copy for copy in found if copy is not None]


async def _living(tail: Tail) -> set[tuple[int, bytes]]:
    """Return who stands where, as compaction would leave it: each in one partition only."""
    last: dict[tuple[int, bytes], bytes | None] = {}
    for record in tail.records["state"]:
        if record.key[:1] != b"\0":
            last[record.partition, record.key] = record.value
    living = {place for place, value in last.items() if value is not None}
    assert len({key for _, key in living}) == len(living)
    return living


async def _in_process(settings: Settings) -> dict[str, dict[str, Any]]:
    """Score all events as they came, in the partitions that they belong to in the end."""
    from streams.feeding import partition_of

    log: dict[int, list[LogRecord]] = {number: [] for number in range(settings.partitions)}
    for event in EVENTS:
        key = event.customer.encode()
        records = log[partition_of(key, settings.partitions)]
        records.append(LogRecord(len(records), int(EVENTS[-1].at * 1000), key, event.value))
    return truth_of(settings, log)


async def _add_partitions(admin: AdminClient, settings: Settings, count: int) -> None:
    from confluent_kafka.cimpl import NewPartitions

    topic = settings.topic("events")
    for future in admin.create_partitions([NewPartitions(topic, count)]).values():
        await asyncio.to_thread(future.result, 30)
    await until(lambda: len(admin.list_topics(topic, timeout=10).topics[topic].partitions) == count)
