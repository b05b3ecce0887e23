"""A rolling upgrade, and a step of it taken back: two versions in one group stay exact."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from pydantic import SecretStr

from crm_online.customers.state import DAY
from crm_online.settings import Settings
from streams.embedded import RealKafka, Valkey
from streams.feeding import Feeder
from streams.producer import OutputProducer
from streams.topics import create_missing
from streams.verify.command import verify_settings
from streams.verify.comparing import compare
from streams.verify.progress import Progress, settle
from streams.verify.reading import Reader
from streams.verify.stream import stream
from streams.verify.workers import ENTRY, Worker, variables
from tests.faults.next_version import NextState
from tests.streams.job import ROOT, until

NEXT = (sys.executable, str(Path(__file__).with_name("next_version.py")))
EVENTS, PER_SECOND, STEP = 60_000, 300.0, 30


class Fleet:
    """Workers of either version."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
        self._environment |= dict(variables(settings))
        self._folder = folder
        self._all: list[Worker] = []

    async def start(self, entry: tuple[str, ...]) -> Worker:
        """Start one, and wait until it takes its share."""
        log = self._folder / f"worker-{len(self._all)}.log"
        worker = Worker(entry, self._environment, log)
        self._all.append(worker)
        await until(lambda: self.check() and b'"ready"' in log.read_bytes())
        return worker

    async def replace(self, old: Worker, entry: tuple[str, ...]) -> Worker:
        """Start another, then stop one in order."""
        new = await self.start(entry)
        await self.stop(old)
        return new

    async def stop(self, worker: Worker) -> None:
        """Stop one in order."""
        worker.leaving = True
        worker.signal(signal.SIGTERM)
        await until(lambda: worker.code() is not None)
        assert worker.code() == 0, worker.last_words()

    def check(self) -> bool:
        """Fail where one has ended by itself."""
        for worker in self._all:
            assert worker.leaving or worker.code() is None, worker.last_words()
        return True

    def end(self) -> None:
        for worker in self._all:
            worker.end()


@asynccontextmanager
async def load(settings: Settings) -> AsyncIterator[Feeder]:
    """Send events at a steady rate for as long as it lasts, then move time past all terms."""
    failed: list[BaseException] = []
    producer = OutputProducer(settings, failed.append)
    await producer.start()
    feeder, last, over = Feeder(producer, settings, settings.partitions), 0.0, asyncio.Event()

    async def send() -> None:
        nonlocal last
        for event in stream(EVENTS, seed=5):
            await feeder.send(event.customer, event.value)
            last = max(last, event.at)
            if feeder.sent % STEP == 0:
                await feeder.flush()
                with suppress(TimeoutError):
                    await asyncio.wait_for(over.wait(), STEP / PER_SECOND)
                    return

    sending = asyncio.ensure_future(send())
    try:
        yield feeder
        assert not sending.done(), "the stream is too short"
        over.set()
        await sending
        await feeder.flush()
        await feeder.tick(last + (settings.horizon_days + 1.0) * DAY)
        assert failed == []
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        await producer.stop()


@pytest.mark.real
@pytest.mark.long
@pytest.mark.asyncio
@pytest.mark.timeout(300)
async def test_workers_replaced_one_after_the_other_under_load_leave_it_exact(
    real_kafka: RealKafka, valkey: Valkey, tmp_path: Path
) -> None:
    given = Settings(kafka=real_kafka.address, redis=SecretStr(valkey.url))
    settings = verify_settings(given, seed=5)
    await asyncio.to_thread(create_missing, settings)
    fleet, progress = Fleet(settings, tmp_path), Progress(settings)
    watching = asyncio.ensure_future(progress.watch())
    try:
        first, second = await fleet.start(ENTRY), await fleet.start(ENTRY)
        async with load(settings) as feeder:
            first = await fleet.replace(first, NEXT)
            second = await fleet.replace(second, NEXT)
            second = await fleet.replace(second, ENTRY)  # and one step back
            assert feeder.sent > 2_000
        assert await settle(settings, progress, lambda: None) == ""
        await fleet.stop(first)
        await fleet.stop(second)
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        fleet.end()
    found = await compare(settings)
    assert [(check.name, check.differences) for check in found.checks if not check.exact] == []
    assert found.repeated == 0
    assert await stored_by_the_next_version(settings) > 100


async def stored_by_the_next_version(settings: Settings) -> int:
    """Count the snapshots in which the new field was used."""
    count = 0
    decode: Any = msgspec.msgpack.Decoder(NextState).decode
    async with Reader(settings, "state") as reader:
        async for _, records in reader.read():
            values = [r.value for r in records if r.value and (r.key or b"\0")[:1] != b"\0"]
            count += sum(decode(value).events_seen > 0 for value in values)
    return count
