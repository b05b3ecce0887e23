"""The role `cache`: the latest scores, lists and actions in Redis."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
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
        """Do nothing: the cache is connected to at the first write."""

    async def close(self) -> None:
        """Disconnect."""
        await self._client.aclose()

    async def run(self, noun: str, stream: Any) -> None:
        """Write the batches of one topic; the body of an agent."""
        async for event in stream.noack().events():
            try:
                await self._write(noun, event.value.records)
                event.ack()
            except Exception as error:  # wrong credentials, or a bug  # noqa: BLE001
                self._stop(error)
                return

    async def _write(self, noun: str, records: Sequence[Record]) -> None:
        wait, began = FIRST_WAIT_SECONDS, time.perf_counter()
        while True:
            try:
                done = await self._writer.write(**{noun: records})
            except SinkUnavailable as error:
                _log.warning("the cache is away", again_in_seconds=wait, reason=str(error))
                self.waits_for = "the cache"
                await asyncio.sleep(wait)
                wait = min(2.0 * wait, LAST_WAIT_SECONDS)
            else:
                self.waits_for = ""
                self._count(records, done.records, time.perf_counter() - began)
                for _, rejection in done.rejected:
                    _log.error("a record was not cached", topic=noun, reason=rejection.message)
                return

    def _count(self, records: Sequence[Record], written: int, seconds: float) -> None:
        self.written += written
        self._consumed += len(records)
        self._batches += 1
        self._seconds += seconds
        self._newest = max(self._newest or 0.0, records[-1].timestamp / 1000.0)
