"""The whole job under test: workers here or in processes of their own, and what they leave."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition
from msgspec import structs
from pydantic import SecretStr
from redis.asyncio import Redis

from crm_online.customers.state import CustomerState
from crm_online.customers.store import decode_state
from crm_online.inprocess import InProcess
from crm_online.internal import PROGRESS_KEY
from crm_online.settings import Settings
from crm_online.simulation.population import Population
from crm_online.simulation.population_settings import PopulationSettings
from crm_online.simulation.raw import RawEvent
from crm_online.simulation.replay import plan_replay
from crm_online.sinks.redis.keys import Keys
from streams.connection import consumer_options
from streams.embedded import MockBroker, RealKafka, Valkey
from streams.feeding import feed
from streams.topics import SINGLE_PARTITION, create_missing
from streams.verify.workers import variables
from streams.worker import Worker

__all__ = [
    "ROLES",
    "Process",
    "Tail",
    "assert_same_outcomes",
    "assert_same_states",
    "cached",
    "comparable",
    "declared_settings",
    "dumped",
    "in_turn",
    "job_settings",
    "newest",
    "population",
    "send",
    "shelved",
    "undisturbed",
    "until",
    "working",
]

ROOT = Path(__file__).resolve().parents[2]
ROLES = ("score", "learn", "cache")
PARTITIONS = 4  # what the embedded broker gives every topic
PATIENCE_SECONDS = 60.0
POLL_SECONDS = 0.02
# Of a customer's state, these depend on which model was newest, or on which lists went out.
OF_LISTS = ("offered", "offered_session", "offered_model", "offered_as_of")
FACTS = ("kind", "prediction_id", "customer_id", "opened_at", "due_at", "features", "source")
PREDICTED_BYTES = 8  # churn probability and expected value, float32, behind the features


def job_settings(
    app: str, broker: MockBroker | RealKafka, valkey: Valkey, **more: object
) -> Settings:
    """Return settings of a job whose models learn within a short history."""
    given = {
        "app": app,
        "kafka": broker.address,
        "redis": SecretStr(valkey.url),
        "declare_topics": isinstance(broker, RealKafka),
        "partitions": PARTITIONS,
        "horizon_days": 14.0,
        "min_outcomes": 20,
        "max_batch": 200,
        "fetch_max_wait_seconds": 0.02,
        "model_publish_seconds": 0.2,
        "next_item_publish_seconds": 0.5,
        "metrics_publish_seconds": 0.5,
        "session_timeout_seconds": 6.0,
    }
    return Settings.model_validate(given | more)


def declared_settings(app: str, broker: MockBroker | RealKafka, valkey: Valkey) -> Settings:
    """Return settings of a job whose topics are there."""
    found = job_settings(app, broker, valkey)
    if found.declare_topics:
        create_missing(found)
    return found


def population(customers: int = 40, days: float = 45.0, seed: int = 3) -> list[RawEvent]:
    """Return the events of a small generated population, in order of time."""
    return list(Population(PopulationSettings(customers=customers, days=days, seed=seed)).events())


@asynccontextmanager
async def working(settings: Settings, roles: Sequence[str] = ROLES) -> AsyncIterator[Worker]:
    """Run a worker in this process; where it fails, the test fails with its reason."""
    if settings.declare_topics:
        await asyncio.to_thread(create_missing, settings)
    threshold = gc.get_threshold()
    worker = Worker(settings, roles)
    try:
        async with asyncio.TaskGroup() as group:
            failing = group.create_task(worker.failure())
            async with worker.running():
                yield worker
                failing.cancel()
    finally:
        gc.unfreeze()
        gc.set_threshold(*threshold)


class Process:
    """A worker in a process of its own, as ``crm-online worker`` starts it."""

    def __init__(self, settings: Settings, folder: Path, roles: Sequence[str] = ROLES) -> None:
        self.log = folder / f"worker-{time.monotonic_ns()}.log"
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "streams", "worker", "--roles", ",".join(roles)],
                stdout=out,
                stderr=out,
                cwd=folder,
                env=os.environ | {"PYTHONPATH": str(ROOT)} | dict(variables(settings)),
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def kill(self) -> None:
        """End it by SIGKILL: nothing of it is finished."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """End it by SIGTERM; returns its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def alive(self) -> bool:
        """Fail, with the end of its log, where it has ended by itself."""
        if self.process.poll() is not None:
            raise AssertionError(self.log.read_text(errors="replace")[-3000:])
        return True


async def until(
    condition: Callable[[], bool] | Callable[[], Awaitable[bool]],
    seconds: float = PATIENCE_SECONDS,
) -> None:
    """Wait for a condition, and fail where it takes too long."""
    deadline = time.monotonic() + seconds
    while True:
        met = condition()
        if met if isinstance(met, bool) else await met:
            return
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:.0f} s")
        await asyncio.sleep(POLL_SECONDS)


async def send(
    events: Iterable[RawEvent], settings: Settings, max_ahead_days: float | None = 2.0
) -> None:
    """Put events on the log, held back by the slowest reader, and a tick at their last time."""
    ahead = None if max_ahead_days is None else max_ahead_days * 86_400.0
    await feed(plan_replay(events, ahead), settings)


class Tail:
    """Follows topics from their beginnings and keeps all that comes, by noun."""

    def __init__(self, settings: Settings, *nouns: str) -> None:
        self.records: defaultdict[str, list[Any]] = defaultdict(list)
        self._settings = settings
        self._nouns = {settings.topic(noun): noun for noun in nouns}
        self._consumer = AIOKafkaConsumer(**consumer_options(settings))

    async def __aenter__(self) -> Self:
        """Begin to follow; topics must be there, or be made at first use."""
        if self._settings.declare_topics:
            await asyncio.to_thread(create_missing, self._settings)
        await self._consumer.start()
        self._consumer.assign([tp for topic in self._nouns for tp in self._places(topic)])
        await self._consumer.seek_to_beginning()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop following."""
        await self._consumer.stop()

    def _places(self, topic: str) -> list[TopicPartition]:
        single = topic.removeprefix(f"{self._settings.app}.") in SINGLE_PARTITION
        return [TopicPartition(topic, p) for p in range(1 if single else self._settings.partitions)]

    async def read(self) -> None:
        """Take what has come."""
        for tp, records in (await self._consumer.getmany(timeout_ms=50)).items():
            self.records[self._nouns[tp.topic]] += records

    async def read_all(self) -> None:
        """Take all that stands on the topics now."""
        places = list(self._consumer.assignment())
        ends = await self._consumer.end_offsets(places)
        while any([await self._consumer.position(tp) < end for tp, end in ends.items()]):
            await self.read()

    async def until(self, condition: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> None:
        """Read on until a condition over the records holds."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                counts = {noun: len(found) for noun, found in self.records.items()}
                raise AssertionError(f"not within {seconds:.0f} s; read: {counts}")
            await self.read()

    async def until_applied(self) -> None:
        """Wait until the scorers have applied all that stands on the log now; follows `state`."""
        ends = await self._consumer.end_offsets(self._places(self._settings.topic("events")))
        wanted = {tp.partition: end - 1 for tp, end in ends.items()}
        await self.until(lambda: all(self.applied(p) >= last for p, last in wanted.items()))

    async def until_learned(self) -> None:
        """Wait until snapshots know all outcomes; follows `models`."""
        (end,) = (
            await self._consumer.end_offsets(self._places(self._settings.topic("outcomes")))
        ).values()
        await self.until(lambda: self.learned() >= end - 1)

    def applied(self, partition: int) -> int:
        """Offset of the last event of a partition that is durably applied; -1 before the first."""
        records = [
            orjson.loads(record.value)
            for record in self.records["state"]
            if record.partition == partition and record.key == PROGRESS_KEY
        ]
        return max([(r["epoch"], r["as_of"]) for r in records], default=(0, -1))[1]

    def learned(self) -> int:
        """Offset of the last outcome that a published snapshot knows; -1 before the first."""
        manifests = [orjson.loads(r.value) for r in self.records["models"] if r.key == b"quality"]
        return max([(m["epoch"], m["offset"]) for m in manifests], default=(0, -1))[1]


def in_turn(records: Iterable[Any]) -> dict[int, list[Any]]:
    """Sort records by partition, each in log order."""
    found: defaultdict[int, list[Any]] = defaultdict(list)
    for record in records:
        found[record.partition].append(record)
    return {p: sorted(found[p], key=lambda r: r.offset) for p in sorted(found)}


def undisturbed(settings: Settings, events: Iterable[Any]) -> tuple[InProcess, list[Any]]:
    """Run a log through one scorer and one learner; returns them and all effects."""
    both = InProcess(settings, settings.partitions)
    effects = []
    for partition, records in in_turn(events).items():
        effects += list(both.process(partition, records))
    return both, effects


def comparable(state: CustomerState) -> dict[str, Any]:
    """Return a customer field by field, but for which prediction and lists stood there."""
    fields = structs.asdict(state)
    for name in OF_LISTS:
        del fields[name]
    fields["predictions"] = [
        structs.asdict(each)
        | {"numbers": each.numbers[:-PREDICTED_BYTES], "churn_offset": 0, "value_offset": 0}
        for each in state.predictions
    ]
    return fields


def shelved(records: Iterable[Any]) -> dict[str, CustomerState]:
    """Return the customers on the state topic: of each key, what was applied furthest."""
    found: dict[str, CustomerState] = {}
    for record in records:
        if record.key[:1] != b"\0" and record.value is not None:
            state = decode_state(record.value)
            kept = found.get(record.key.decode())
            if kept is None or state.place >= kept.place:
                found[record.key.decode()] = state
    return found


async def cached(settings: Settings, noun: str, customers: Iterable[str]) -> dict[str, bytes]:
    """Return what the cache holds as the latest of customers, who have something there."""
    keys = Keys(settings.app)
    name = keys.scores if noun == "scores" else keys.recommendations
    wanted = sorted(customers)
    async with Redis.from_url(settings.redis.get_secret_value()) as client:
        values: list[Any] = await client.mget([name(customer) for customer in wanted])
    return {c: v for c, v in zip(wanted, values, strict=True) if v is not None}


async def dumped(settings: Settings) -> dict[bytes, Any]:
    """Return all that the cache holds of a job, by key."""
    found: dict[bytes, Any] = {}
    async with Redis.from_url(settings.redis.get_secret_value()) as client:
        read: dict[Any, Callable[[Any], Awaitable[Any]]] = {
            b"string": client.get,
            b"list": lambda key: client.lrange(key, 0, -1),
            b"set": client.smembers,
            b"zset": lambda key: client.zrange(key, 0, -1, withscores=True),
            b"hash": client.hgetall,
        }
        async for key in client.scan_iter(f"{settings.app}:*", count=1000):
            found[key] = await read[await client.type(key)](key)
            if key.endswith(b":mark"):
                del found[key][b"version"]  # counts writes
    keys = Keys(settings.app)
    # Who passed through a segment within one write was never there.
    found[keys.segments.encode()] = {
        name
        for name in found.get(keys.segments.encode(), set())
        if keys.segment(name.decode()).encode() in found
    }
    return found


def newest(records: Iterable[Any]) -> dict[str, bytes]:
    """Return the last record of each customer, ticks left out."""
    return {
        record.key.decode(): record.value
        for found in in_turn(records).values()
        for record in found
        if record.key[:1] != b"\0"
    }


def assert_same_states(truth: InProcess, state: Iterable[Any]) -> None:
    """Compare the customers on the state topic with those of an undisturbed run."""
    expected = {
        customer: comparable(decode_state(packed))
        for held in truth.scorer.partitions.values()
        for customer, packed in held.store.packed.items()
    }
    found = {customer: comparable(held) for customer, held in shelved(state).items()}
    assert len(expected) > 30
    assert found.keys() == expected.keys()
    for customer, held in found.items():
        assert held == expected[customer]


def assert_same_outcomes(expected: Iterable[Any], found: Iterable[Any]) -> None:
    """Compare all but predictions and lists: those depend on which model was newest."""
    wanted, seen = (
        sorted((_facts(o) for o in outcomes if o["kind"] != "next_item"), key=repr)
        for outcomes in (expected, found)
    )
    assert seen == wanted


def _facts(outcome: dict[str, Any]) -> list[Any]:
    names = (*FACTS, "churned", "spend", "late") if outcome["kind"] == "settled" else FACTS
    return [outcome[name] for name in names]
