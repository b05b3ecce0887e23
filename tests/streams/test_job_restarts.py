"""The job when parts of it end and come back: nothing is lost, nothing is counted twice."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from redis.asyncio import Redis
from structlog.testing import capture_logs

from crm_online.learning import Learner
from crm_online.models.snapshots import SnapshotReader
from crm_online.settings import Settings
from crm_online.sinks.redis.keys import Keys
from crm_online.sinks.redis.writer import HISTORY
from streams.connection import consumer_options
from streams.embedded import MockBroker, RealKafka, Valkey
from tests.models.pickles import spelled_out
from tests.streams.job import (
    Process,
    Tail,
    assert_same_outcomes,
    assert_same_states,
    cached,
    dumped,
    job_settings,
    newest,
    population,
    send,
    undisturbed,
    until,
    working,
)

pytestmark = pytest.mark.asyncio
NOUNS = ("events", "scores", "recommendations", "outcomes", "interactions", "models", "state")
LEARNED = ("churn", "value", "segments", "clusters", "quality")


@pytest.fixture
def settings(app: str, broker: MockBroker | RealKafka, valkey: Valkey) -> Settings:
    return job_settings(app, broker, valkey)


def assert_exact(settings: Settings, tail: Tail, *, repeats: bool) -> None:
    """Compare all that depends on the log alone with an undisturbed run over the same log."""
    truth, effects = undisturbed(settings, tail.records["events"])
    assert_same_states(truth, tail.records["state"])
    for noun in ("scores", "outcomes"):
        wanted = [
            dict(m.headers)["ce_id"]
            for e in effects
            for m in e.outputs.get(noun, ())
            if not _of_lists(m.headers)
        ]
        found = Counter(
            dict(r.headers)["ce_id"]
            for r in tail.records[noun]
            if not (_of_lists(r.headers) or (repeats and _rescored(r)))
        )
        assert found.keys() == set(wanted)
        assert repeats or found.total() == len(wanted)
    assert_same_outcomes(
        (orjson.loads(m.value or b"") for e in effects for m in e.outputs.get("outcomes", ())),
        _each_once(tail.records["outcomes"]),
    )


def _of_lists(headers: Any) -> bool:
    return bool(dict(headers)["ce_type"] == b"crm.next_item.settled")


def _rescored(record: Any) -> bool:
    """Say whether a score stands there because of what another worker wrote."""
    return bool(orjson.loads(record.value or b"{}").get("cause") == "rescoring")


def _each_once(records: Iterable[Any]) -> list[Any]:
    return [
        orjson.loads(value)
        for value in {dict(r.headers)["ce_id"]: r.value for r in records}.values()
    ]


def assert_learned_once(settings: Settings, tail: Tail) -> None:
    """Compare the newest models with those of a learner that read the same outcomes in one go."""
    reader = SnapshotReader(settings.signing_key.get_secret_value().encode())
    newest_models = {s.name: s for r in tail.records["models"] for s in reader.apply([r])}
    assert newest_models.keys() >= set(LEARNED)
    outcomes = tail.records["outcomes"]
    found, learner = Learner(settings), Learner(settings)
    # A model that had nothing to learn since was not published since, either.
    found.process("outcomes", outcomes[found.restore(newest_models.values())["outcomes"] :])
    learner.process("outcomes", outcomes)
    for name in LEARNED:
        one, other = found.slots[name].snapshot(), learner.slots[name].snapshot()
        assert spelled_out(one) == spelled_out(other), name
    settled = {o["prediction_id"] for o in _each_once(outcomes) if o["kind"] == "settled"}
    assert learner.quality.settled + learner.quality.late == len(settled) > 0


def _scored(tail: Tail, count: float, worker: Process | None = None) -> bool:
    return (worker is None or worker.alive()) and len(tail.records["scores"]) > count


async def until_cached(settings: Settings, tail: Tail) -> None:
    """Wait until the cache holds the last record of every customer."""

    async def same() -> bool:
        for noun in ("scores", "recommendations"):
            last = newest(tail.records[noun])
            if await cached(settings, noun, last) != last:
                return False
        return True

    await tail.read_all()
    await until(same)


async def test_a_scorer_restarted_in_order_goes_on_without_a_repeat(settings: Settings) -> None:
    events = population()
    parts = events[:500], events[500:900], events[900:]
    async with Tail(settings, *NOUNS) as tail, working(settings, ["learn"]):
        for part in parts:
            async with working(settings, ["score"]) as worker:
                await send(part, settings, None)
                await tail.until_applied()
                restored = worker.apps["score"].role.processor.figures.restored  # type: ignore[union-attr]
                assert bool(restored) == (part is not events[:500] and part[0] is not events[0])
        await tail.until_learned()
        await tail.read_all()
        assert_exact(settings, tail, repeats=False)
        assert_learned_once(settings, tail)


async def test_a_scorer_stopped_in_the_middle_of_the_log_leaves_no_gap(settings: Settings) -> None:
    events = population()
    slow = settings.model_copy(update={"max_batch": 5})
    async with Tail(settings, *NOUNS) as tail:
        await send(events, settings, None)
        for share in (0.2, 0.5):
            async with working(slow, ["score"]):
                await tail.until(partial(_scored, tail, share * len(events)))
        await tail.read_all()
        assert len(tail.records["scores"]) < len(events)
        async with working(slow, ["score"]):
            await tail.until_applied()
        await tail.read_all()
        assert_exact(settings, tail, repeats=False)


async def test_a_learner_restarted_goes_on_from_its_snapshot(settings: Settings) -> None:
    events = population()
    async with Tail(settings, *NOUNS) as tail, working(settings, ["score"]):
        for number, part in enumerate((events[:900], events[900:1200], events[1200:])):
            async with working(settings, ["learn"]) as worker:
                await send(part, settings, 5.0)
                await tail.until_applied()
                await tail.until_learned()
                start = worker.apps["learn"].role.start_of("outcomes")  # type: ignore[union-attr]
                assert (start > 0) == (number > 0)
        await tail.read_all()
        assert_learned_once(settings, tail)
        assert_exact(settings, tail, repeats=False)


@pytest.mark.real  # the embedded broker holds a group for a minute after its last member left
async def test_the_cache_is_rebuilt_from_the_topics(
    app: str, real_kafka: RealKafka, valkey: Valkey
) -> None:
    settings = job_settings(app, real_kafka, valkey)
    async with Tail(settings, *NOUNS) as tail:
        async with working(settings):
            await send(population(), settings, 5.0)
            await tail.until_applied()
            await until_cached(settings, tail)
        before = await dumped(settings)
        async with Redis.from_url(settings.redis.get_secret_value()) as client:
            await client.flushall()
        await _rewind(settings, "cache", "scores", "recommendations")
        async with working(settings, ["cache"]):
            await until_cached(settings, tail)

            async def rebuilt() -> bool:
                return await dumped(settings) == before

            with suppress(AssertionError):
                await until(rebuilt)
            assert await dumped(settings) == before  # which says what differs
        assert len(before) > 100


async def _rewind(settings: Settings, role: str, *nouns: str) -> None:
    """Set a group back to the beginning, as ``kafka-consumer-groups --to-earliest`` does."""
    topics = [settings.topic(noun) for noun in nouns]
    consumer = AIOKafkaConsumer(
        *topics, **consumer_options(settings), group_id=f"{settings.app}-{role}"
    )
    await consumer.start()
    places = [TopicPartition(topic, p) for topic in topics for p in range(settings.partitions)]
    await until(lambda: consumer.assignment() == set(places))
    await consumer.commit(dict.fromkeys(places, 0))
    await consumer.stop()


async def test_while_the_cache_is_away_scoring_goes_on_and_nothing_is_lost(
    app: str, broker: MockBroker | RealKafka, own_valkey: Valkey
) -> None:
    settings = job_settings(app, broker, own_valkey)
    events = population()
    async with Tail(settings, *NOUNS) as tail, working(settings) as worker:
        await send(events[:600], settings, 10.0)
        await tail.until_applied()
        await until_cached(settings, tail)
        before = len(tail.records["scores"])
        own_valkey.kill()  # what it held dies with it
        written = worker.apps["cache"].role.written  # type: ignore[union-attr]
        with capture_logs() as said:
            await send(events[600:], settings, 10.0)
            await tail.until_applied()
            # Longer than the client tries by itself.
            await until(lambda: any(each["event"] == "the cache is away" for each in said))
        assert worker.apps["cache"].role.written == written  # type: ignore[union-attr]
        await asyncio.to_thread(own_valkey.start)
        await tail.read_all()
        await until_histories(settings, tail.records["scores"][before:])
        assert_exact(settings, tail, repeats=False)


async def until_histories(settings: Settings, records: Iterable[Any]) -> None:
    """Wait until the cache holds the newest scores of each customer, none left out."""
    expected: defaultdict[str, list[bytes]] = defaultdict(list)
    for record in records:
        if record.key[:1] != b"\0":
            expected[record.key.decode()].insert(0, record.value)
    assert len(expected) > 20
    keys = Keys(settings.app)

    async def same() -> bool:
        async with Redis.from_url(settings.redis.get_secret_value()) as client:
            found = {
                customer: await client.lrange(f"{keys.scores(customer)}:history", 0, HISTORY - 1)
                for customer in expected
            }
        return found == {customer: values[:HISTORY] for customer, values in expected.items()}

    await until(same)


@pytest.mark.real
async def test_two_workers_share_the_partitions(
    app: str, real_kafka: RealKafka, valkey: Valkey
) -> None:
    settings = job_settings(app, real_kafka, valkey)
    events = population()
    every = set(range(settings.partitions))
    async with Tail(settings, *NOUNS) as tail, working(settings) as first:

        def owned(worker: Any) -> set[int]:
            return set(worker.apps["score"].role.processor.owned)

        await until(lambda: owned(first) == every)
        await send(events[:500], settings, 10.0)
        async with working(settings, ["score"]) as second:
            await until(lambda: len(owned(first)) == len(owned(second)) == 2)
            assert owned(first) | owned(second) == every
            await send(events[500:1000], settings, 10.0)
            assert all(
                worker.apps["score"].role.processor.figures.events > 100  # type: ignore[union-attr]
                for worker in (first, second)
            )
        await until(lambda: owned(first) == every)
        await send(events[1000:], settings, 10.0)
        await tail.until_applied()
        await tail.until_learned()
        await until_cached(settings, tail)
        assert_exact(settings, tail, repeats=False)
        assert_learned_once(settings, tail)


@pytest.mark.real
async def test_a_worker_killed_twice_comes_back_exact(
    app: str, real_kafka: RealKafka, valkey: Valkey, tmp_path: Path
) -> None:
    settings = job_settings(app, real_kafka, valkey, max_batch=10, max_in_flight_events=80)
    events = population(60, 70.0)
    async with Tail(settings, *NOUNS) as tail:
        await send(events, settings, None)
        for share in (0.2, 0.5):
            with Process(settings, tmp_path) as worker:
                await tail.until(partial(_scored, tail, share * len(events), worker))
                worker.kill()
            await tail.read_all()
            assert sum(tail.applied(p) + 1 for p in range(settings.partitions)) < len(events)
        with Process(settings, tmp_path) as worker:
            await tail.until_applied()
            await tail.until_learned()
            await until_cached(settings, tail)
            assert worker.stop() == 0
        await tail.read_all()
        assert_exact(settings, tail, repeats=True)
        assert_learned_once(settings, tail)
        scored = Counter(
            dict(r.headers)["ce_id"]
            for r in tail.records["scores"]
            if orjson.loads(r.value or b"{}").get("cause") == "event"
        )
        bound = 2 * (settings.max_in_flight_events + settings.max_batch)  # and the batch in hand
        assert scored.total() - len(scored) <= bound
