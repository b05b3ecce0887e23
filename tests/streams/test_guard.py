"""What a worker that woke up too late writes behind its successor is written over."""

from __future__ import annotations

import pytest

from crm_online.customers.state import CustomerState
from crm_online.customers.store import encode_state
from crm_online.internal import PROGRESS_KEY
from crm_online.log import Message
from streams.embedded import MockBroker, RealKafka, Valkey
from streams.feeding import partition_of
from streams.producer import OutputProducer
from tests.streams.job import PARTITIONS, Tail, job_settings, population, send, shelved, working

pytestmark = pytest.mark.asyncio


async def test_stale_snapshots_do_not_stay_the_last_of_their_keys(
    app: str, broker: MockBroker | RealKafka, valkey: Valkey
) -> None:
    settings = job_settings(app, broker, valkey)
    failures: list[BaseException] = []
    stale = encode_state(CustomerState(as_of=0.0, orders=77))
    async with Tail(settings, "state") as tail, working(settings, ["score", "learn"]) as worker:
        await send(population(customers=10, days=10.0), settings)
        await tail.until_applied()
        await tail.read_all()
        right = {r.key: r.value for r in tail.records["state"]}
        customer = next(key for key in sorted(right) if key != PROGRESS_KEY)
        partition = partition_of(customer, PARTITIONS)
        paused = OutputProducer(settings, failures.append)
        await paused.start()
        before = len(tail.records["state"])
        await paused.deliver(
            settings.topic("state"),
            partition,
            [Message(customer, stale), Message(PROGRESS_KEY, b'{"as_of":0}')],
        )
        await paused.stop()
        await tail.until(lambda: len(tail.records["state"]) >= before + 4)
        *_, last = [r for r in tail.records["state"] if r.key == customer]
        *_, progress = [
            r for r in tail.records["state"] if r.key == PROGRESS_KEY and r.partition == partition
        ]
    assert not failures
    assert last.value == right[customer]
    assert b'"as_of":0,' not in progress.value
    assert worker.apps["score"].role.processor.figures.corrected == 2  # type: ignore[union-attr]
    assert shelved(tail.records["state"])[customer.decode()].orders != 77
