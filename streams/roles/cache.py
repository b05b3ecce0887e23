"""The role `cache`: the latest scores, lists and actions in Redis."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Final

import structlog

from crm_online.errors import SinkUnavailable
from crm_online.log import Record
from crm_online.settings import Settings
from crm_online.sinks.redis import CacheWriter, connect
from streams.figures import RoleFigures
from streams.roles.tasks import Stop

__all__ = ["CacheRole"]

FIRST_WAIT_SECONDS: Final = 1.0
LAST_WAIT_SECONDS: Final = 30.0
# What came while a write was under way goes into the next one: batches are small where events
# come evenly, and a round trip costs the same for one record as for some hundred.
WAITING_BATCHES: Final = 64
LARGEST_WRITE: Final = 2_000

_log = structlog.get_logger(__name__)


class CacheRole:
    """Writes scores, lists and actions to Redis; waits while it is away, and loses nothing.

    Parameters
    ----------
    settings
        Of the whole program.
    stop
        Ends the process with a reason.
    """

    nouns: ClassVar = ("scores", "recommendations", "actions")
    restoring: ClassVar = (0, 0)

    def __init__(self, settings: Settings, stop: Stop) -> None:
        self._stop = stop
        self._client = connect(settings)
        self._writer = CacheWriter(settings, self._client)
        self.written = 0
        self.waits_for = ""
        self._consumed = self._batches = 0
        self._seconds = 0.0
        self._newest: float | None = None
        self._waiting: asyncio.Queue[tuple[str, Any]] = asyncio.Queue(WAITING_BATCHES)
        self._writing: asyncio.Task[None] | None = None

    def figures(self) -> RoleFigures:
        """Say what was done so far; what it produces are records in the cache."""
        return RoleFigures(
            consumed=self._consumed,
            produced=self.written,
            batches=self._batches,
            batch_seconds=self._seconds,
            newest=self._newest,
            moves=dict(self._writer.moves),
        )

    async def open(self) -> None:
        """Begin to write; the cache is connected to at the first write."""
        self._writing = asyncio.create_task(self._write_what_comes())

    async def close(self) -> None:
        """Write no more, and disconnect; what was not written is read again."""
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.wait([self._writing])
        await self._client.aclose()

    async def run(self, noun: str, stream: Any) -> None:
        """Have the batches of one topic written; the body of an agent."""
        async for event in stream.noack().events():
            await self._waiting.put((noun, event))

    async def _write_what_comes(self) -> None:
        try:
            while True:
                events = await self._take()
                records: defaultdict[str, list[Record]] = defaultdict(list)
                for noun, event in events:
                    records[noun] += event.value.records
                await self._write(records)
                for _, event in events:
                    event.ack()
        except Exception as error:  # wrong credentials, or a bug  # noqa: BLE001
            self._stop(error)

    async def _take(self) -> Sequence[tuple[str, Any]]:
        """Wait for a batch, and take what came with it, up to what one write may hold."""
        taken = [await self._waiting.get()]
        size = len(taken[0][1].value.records)
        while size < LARGEST_WRITE and not self._waiting.empty():
            taken.append(self._waiting.get_nowait())
            size += len(taken[-1][1].value.records)
        return taken

    async def _write(self, records: Mapping[str, Sequence[Record]]) -> None:
        wait, began = FIRST_WAIT_SECONDS, time.perf_counter()
        while True:
            try:
                done = await self._writer.write(**records)
            except SinkUnavailable as error:
                _log.warning("the cache is away", again_in_seconds=wait, reason=str(error))
                self.waits_for = "the cache"
                await asyncio.sleep(wait)
                wait = min(2.0 * wait, LAST_WAIT_SECONDS)
            else:
                self.waits_for = ""
                self._count(records.values(), done.records, time.perf_counter() - began)
                for record, rejection in done.rejected:
                    _log.error("a record was not cached", key=record.key, reason=rejection.message)
                return

    def _count(self, taken: Iterable[Sequence[Record]], written: int, seconds: float) -> None:
        self.written += written
        self._batches += 1
        self._seconds += seconds
        for records in taken:
            self._consumed += len(records)
            self._newest = max(self._newest or 0.0, records[-1].timestamp / 1000.0)
