"""The role `cache`: the latest scores and lists in Redis."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, ClassVar, Final

import structlog

from crm_online.errors import SinkUnavailable
from crm_online.log import Record
from crm_online.settings import Settings
from crm_online.sinks.redis import CacheWriter, connect
from streams.roles.tasks import Stop

__all__ = ["CacheRole"]

FIRST_WAIT_SECONDS: Final = 1.0
LAST_WAIT_SECONDS: Final = 30.0

_log = structlog.get_logger(__name__)


class CacheRole:
    """Writes scores and recommendations to Redis; waits while it is away, and loses nothing.

    Parameters
    ----------
    settings
        Of the whole program.
    stop
        Ends the process with a reason.
    """

    nouns: ClassVar = ("scores", "recommendations")
    restoring: ClassVar = (0, 0)

    def __init__(self, settings: Settings, stop: Stop) -> None:
        self._stop = stop
        self._client = connect(settings)
        self._writer = CacheWriter(settings, self._client)
        self.written = 0
        self.waits_for = ""

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
        wait = FIRST_WAIT_SECONDS
        while True:
            try:
                done = await self._writer.write(
                    records if noun == "scores" else (),
                    records if noun == "recommendations" else (),
                )
            except SinkUnavailable as error:
                _log.warning("the cache is away", again_in_seconds=wait, reason=str(error))
                self.waits_for = "the cache"
                await asyncio.sleep(wait)
                wait = min(2.0 * wait, LAST_WAIT_SECONDS)
            else:
                self.waits_for = ""
                self.written += done.records
                for _, rejection in done.rejected:
                    _log.error("a record was not cached", topic=noun, reason=rejection.message)
                return
