"""How many customers each segment has, for a dashboard that a slow cache must not hold up."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from crm_online.errors import ConfigurationError, SinkUnavailable

if TYPE_CHECKING:
    from crm_online.sinks.redis import CacheReader

__all__ = ["CacheSizes"]

PATIENCE_SECONDS: Final = 0.5


class CacheSizes:
    """Asks the cache in a task of its own, and says what is known meanwhile.

    Parameters
    ----------
    reader
        Of the cache.
    """

    def __init__(self, reader: CacheReader) -> None:
        self._reader = reader
        self._known: dict[str, Any] = {}
        self._asking: asyncio.Task[None] | None = None

    async def now(self) -> dict[str, Any]:
        """Return the sizes, or those known last where no answer comes soon; one caller at a time.

        Returns
        -------
        ``segments`` and ``at_risk``, or ``away`` with the reason.
        """
        if self._asking is None:
            self._asking = asyncio.ensure_future(self._ask())
        await asyncio.wait([self._asking], timeout=PATIENCE_SECONDS if self._known else None)
        if self._asking.done():
            asked, self._asking = self._asking, None
            asked.result()
        return self._known

    async def close(self) -> None:
        """Ask no more."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait([self._asking])

    async def _ask(self) -> None:
        try:
            segments, at_risk = await self._reader.sizes()
            self._known = {"segments": segments, "at_risk": at_risk}
        except (SinkUnavailable, ConfigurationError) as error:
            self._known = {"away": str(error)}
