"""The service: the apps of the roles asked for, in one process and loop, until told to stop."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final

import structlog
import uvloop

from crm_online.errors import ConfigurationError
from streams.apps import ROLES, RoleApp, make_app
from streams.logs import configure_logs
from streams.topics import create_missing

if TYPE_CHECKING:
    from crm_online.settings import Settings

__all__ = ["Worker", "parse_roles", "run"]

EXIT_FAILED: Final = 1
_log = structlog.get_logger(__name__)


def parse_roles(text: str) -> list[str]:
    """Read a list of roles, or ``all``.

    Raises
    ------
    ConfigurationError
        Where there is no such role.

    Examples
    --------
    >>> parse_roles("score,learn"), parse_roles("all")
    (['score', 'learn'], ['score', 'learn', 'cache'])
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    if names == ["all"]:
        return list(ROLES)
    unknown = [name for name in names if name not in ROLES]
    if unknown or not names:
        raise ConfigurationError(f"--roles takes all, or some of {','.join(ROLES)}")
    return names


class Worker:
    """Runs roles until `stop` is called or one of them fails.

    Parameters
    ----------
    settings
        Of the whole program.
    roles
        Names of the roles.
    """

    def __init__(self, settings: Settings, roles: Sequence[str]) -> None:
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._failed.add_done_callback(_retrieve)
        self.ready = False
        self.apps: dict[str, RoleApp] = {
            name: make_app(name, settings, self.fail) for name in roles
        }

    def fail(self, error: BaseException) -> None:
        """Take the first reason why going on would be wrong."""
        if not self._failed.done():
            self._failed.set_exception(error)

    async def failure(self) -> None:
        """Wait for a failure, and raise it."""
        await asyncio.shield(self._failed)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Start all apps, and stop them in order."""
        # Side by side: each waits some seconds for its group.
        await asyncio.gather(*[app.start() for app in self.apps.values()])
        gc.freeze()  # imports and restored state: a full collection would fall into a batch
        gc.set_threshold(50_000, 10, 10)
        self.ready = True
        try:
            yield
        finally:
            for app in reversed(self.apps.values()):
                await app.stop()


def run(settings: Settings, roles: Sequence[str]) -> None:
    """Run the service until SIGTERM or SIGINT; a failure ends the process with exit code 1."""
    configure_logs()
    create_missing(settings)
    uvloop.run(_serve(settings, roles))


async def _serve(settings: Settings, roles: Sequence[str]) -> None:
    worker, told = Worker(settings, roles), asyncio.Event()
    living = asyncio.ensure_future(_live(worker, told))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, lambda: told.set() if worker.ready else living.cancel())
    failing = asyncio.ensure_future(worker.failure())
    await asyncio.wait({living, failing}, return_when=asyncio.FIRST_COMPLETED)
    if failing.done():
        _end(failing.exception())
    failing.cancel()
    with suppress(asyncio.CancelledError):
        await living


async def _live(worker: Worker, told: asyncio.Event) -> None:
    roles = list(worker.apps)
    _log.info("starting", roles=roles)
    async with worker.running():
        _log.info("ready", roles=roles)
        await told.wait()
        _log.info("stopping", roles=roles)


def _retrieve(failed: asyncio.Future[None]) -> None:
    """Keep asyncio from complaining about a failure that nobody waited for."""
    if not failed.cancelled():
        failed.exception()


def _end(error: BaseException | None) -> None:
    """End at once: nothing may be flushed or committed behind a failure."""
    _log.error("stopped", reason=str(error) or type(error).__name__, exc_info=_traced(error))
    sys.stderr.flush()
    os._exit(EXIT_FAILED)


def _traced(error: BaseException | None) -> BaseException | None:
    """Show a traceback only for what nobody foresaw."""
    from crm_online.errors import CrmOnlineError  # noqa: PLC0415

    return None if isinstance(error, CrmOnlineError) else error
