"""What a worker that woke up too late writes behind its successor is written over."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from crm_online.cloudevents import headers, utc
from crm_online.customers.state import CustomerState
from crm_online.customers.store import encode_state
from crm_online.internal import PROGRESS_KEY
from crm_online.log import Message
from streams.deliveries import Deliveries
from streams.embedded import MockBroker, RealKafka, Valkey
from streams.feeding import partition_of
from streams.guard import Guard, followed
from tests.streams.job import (
    PARTITIONS,
    Tail,
    job_settings,
    population,
    send,
    shelved,
    until,
    working,
)
from tests.streams.workers import append, counting_settings

pytestmark = pytest.mark.asyncio


async def test_stale_snapshots_do_not_stay_the_last_of_their_keys(
    app: str, broker: MockBroker | RealKafka, valkey: Valkey
) -> None:
    settings = job_settings(app, broker, valkey)
    stale = encode_state(CustomerState(as_of=0.0, orders=77))
    async with Tail(settings, "state") as tail, working(settings, ["score", "learn"]) as worker:
        await send(population(customers=10, days=10.0), settings)
        await tail.until_applied()
        await tail.read_all()
        right = {r.key: r.value for r in tail.records["state"]}
        customer = next(key for key in sorted(right) if key != PROGRESS_KEY)
        partition = partition_of(customer, PARTITIONS)
        before = len(tail.records["state"])
        progress = Message(PROGRESS_KEY, b'{"as_of":0}')
        await append(settings, "state", partition, Message(customer, stale), progress)
        await tail.until(lambda: len(tail.records["state"]) >= before + 4)
        *_, last = [r for r in tail.records["state"] if r.key == customer]
        *_, progressed = [
            r for r in tail.records["state"] if r.key == PROGRESS_KEY and r.partition == partition
        ]
    assert last.value == right[customer]
    assert b'"as_of":0,' not in progressed.value
    assert worker.apps["score"].role.processor.figures.corrected == 2  # type: ignore[union-attr]
    assert shelved(tail.records["state"])[customer.decode()].orders != 77


@pytest.mark.parametrize("noun", ["scores", "recommendations"])
async def test_stale_outputs_do_not_stay_the_last_of_their_keys(
    app: str, broker: MockBroker | RealKafka, valkey: Valkey, noun: str
) -> None:
    settings = job_settings(app, broker, valkey)
    tail = Tail(settings, "state", "scores", "recommendations")
    async with tail, working(settings, ["score", "learn"]):
        events = population(customers=10, days=10.0)
        for half in (events[: len(events) // 2], events[len(events) // 2 :]):
            await send(half, settings)  # of a batch only the newest list goes out
            await tail.until_applied()
        await tail.read_all()
        first, right = first_and_last(tail.records[noun])
        customer, partition = first.key, first.partition
        before = len(tail.records[noun])
        await append(settings, noun, partition, Message(customer, first.value, first.headers))
        await tail.until(lambda: len(tail.records[noun]) >= before + 2)
    *_, last = [r for r in tail.records[noun] if r.key == customer]
    source, of_right = (json.loads(r.value)["source"] for r in (last, right))
    assert source["offset"] >= of_right["offset"]
    assert source["index"] == 1
    scores = [json.loads(r.value) for r in tail.records["scores"] if r.key == customer]
    *_, again = scores
    newest = max((s for s in scores if s["cause"] != "rescoring"), key=order)
    assert again["cause"] == "rescoring"
    for total in ("orders", "spend", "refunds", "last_activity_at"):
        assert again[total] == newest[total]
    assert order(again) > order(newest)


async def test_a_removed_customer_is_removed_again(
    app: str, broker: MockBroker | RealKafka, valkey: Valkey
) -> None:
    settings = job_settings(app, broker, valkey)
    source = {"epoch": 0, "partition": 0, "offset": -1}
    value = json.dumps({"source": source}).encode()
    ce = headers(b"crm.score.updated", b"paused", "a" * 32, utc(0.0))
    async with Tail(settings, "state", "scores") as tail, working(settings, ["score", "learn"]):
        await send(population(customers=10, days=10.0), settings)
        await tail.until_applied()
        await append(settings, "scores", 0, Message(b"gone", value, ce))
        await tail.until(lambda: len([r for r in tail.records["scores"] if is_gone(r)]) == 2)
    *_, last = [r for r in tail.records["scores"] if is_gone(r)]
    assert last.value is None
    assert json.loads(dict(last.headers)["source"])["offset"] >= 0


async def test_what_is_not_yet_written_over_is_left_for_the_next_owner_to_find(
    app: str, broker: MockBroker | RealKafka
) -> None:
    settings = counting_settings(app, broker.address, partitions=1)
    broker.create_topics({settings.topic("scores"): 1})
    asked, written_over = asyncio.Event(), asyncio.Event()

    async def correct(*_: object) -> bool:
        asked.set()
        await written_over.wait()
        return True

    guard = Guard(settings, ["scores"], Deliveries(), correct)

    def said() -> int:
        (signed,) = guard.sign(0, [Message(PROGRESS_KEY, b"{}")])
        return followed(signed.headers, 0)[settings.topic("scores"), 0]

    await append(settings, "scores", 0, Message(b"ann", b"ours"))
    await guard.watch([0], {}, correct)
    running = asyncio.create_task(guard.run())
    try:
        await append(settings, "scores", 0, Message(b"ann", b"of a worker that woke up"))
        await asyncio.wait_for(asked.wait(), 30.0)
        assert said() == 1
        written_over.set()
        await until(lambda: said() == 2)
    finally:
        running.cancel()
        await asyncio.wait([running])


def order(score: dict[str, Any]) -> tuple[int, ...]:
    """Return where in the log a score stands."""
    source = score["source"]
    return tuple(source[name] for name in ("epoch", "offset", "step", "due", "index"))


def is_gone(record: Any) -> bool:
    """Tell whether a record is about the customer who was removed."""
    return bool(record.key == b"gone")


def first_and_last(records: list[Any]) -> tuple[Any, Any]:
    """Return the first and the last record of the customer who has most of them."""
    by_customer: dict[bytes, list[Any]] = {}
    for record in records:
        if record.key[:1] != b"\0":
            by_customer.setdefault(record.key, []).append(record)
    most = max(by_customer.values(), key=len)
    assert len(most) > 1
    return most[0], most[-1]
