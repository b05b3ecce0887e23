"""What the HTTP thread may know of the worker around it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from streams.reporting import Report, Reported

__all__ = ["Asked"]


class Asked:
    """Asks roles in their own loop, where nothing of theirs is half done.

    Parameters
    ----------
    loop
        The roles' loop.
    roles
        By name; filled by the caller.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, roles: Mapping[str, Reported]) -> None:
        self._loop = loop
        self._roles = roles

    async def reports(self) -> dict[str, Report]:
        """Return what each role says; waits while a batch is being applied."""
        asked = asyncio.run_coroutine_threadsafe(self._collect(), self._loop)
        return await asyncio.wrap_future(asked)

    async def _collect(self) -> dict[str, Report]:
        return {n: Report(role.health(), role.figures()) for n, role in self._roles.items()}
