"""The service: the apps of the roles asked for, in one process and loop, until told to stop."""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from threading import Timer
from typing import TYPE_CHECKING, Final

import structlog
import uvloop

from crm_online.errors import BrokerUnavailable, ConfigurationError
from streams.apps import RoleApp, make_app
from streams.delivering.service import DeliverService
from streams.ending import end_process
from streams.logs import configure_logs
from streams.memory import share_one_heap
from streams.reporting import Reported, Reporter
from streams.roles.tasks import Tasks
from streams.roles.web import WebRole
from streams.stacks import tell
from streams.topics import check_policies, create_missing
from streams.web.server import WebServer
from streams.web.worker import Asked

if TYPE_CHECKING:
    from crm_online.settings import Settings

__all__ = ["Worker", "run"]

WEB: Final = "web"
STOPS: Final = (signal.SIGTERM, signal.SIGINT)
_log = structlog.get_logger(__name__)


class Worker:
    """Runs roles, from `running` on, until one of them fails.

    Parameters
    ----------
    settings
        Of the whole program.
    roles
        Names of the roles.
    """

    def __init__(self, settings: Settings, roles: Sequence[str]) -> None:
        loop = asyncio.get_running_loop()
        self._failed: asyncio.Future[None] = loop.create_future()
        self._failed.add_done_callback(_retrieve)
        self.ready = False
        self.apps: dict[str, RoleApp | DeliverService] = {
            name: make_app(name, settings, self.fail) for name in roles if name != WEB
        }
        if WEB in roles and not settings.web_port:
            raise ConfigurationError("the role web needs a port: set CRM_WEB_PORT, such as 8080")
        web = WebRole() if WEB in roles else None
        self.roles: dict[str, Reported] = {**self.apps} | ({WEB: web} if web else {})
        self._web = WebServer(settings, Asked(loop, self.roles), self.fail, web)
        self._reporter = Reporter(settings, self.roles)
        self._tasks = Tasks(self.fail)

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
        await self._web.start()
        gc.set_threshold(50_000, 10, 10)  # before the restore, half of whose time it is
        started: list[RoleApp | DeliverService] = []

        async def start(app: RoleApp | DeliverService) -> None:
            await app.start()
            started.append(app)

        try:
            # Side by side: each waits some seconds for its group.
            await asyncio.gather(*[start(app) for app in self.apps.values()])
        except asyncio.CancelledError:  # told to stop: those that had only begun end with us
            await self._stop(started)
            raise
        gc.freeze()  # imports and restored state: a full collection would fall into a batch
        self.ready = True
        self._tasks.begin(self._reporter.run())
        try:
            yield
        finally:
            await self._tasks.end()
            await self._stop(started)

    async def _stop(self, apps: Sequence[RoleApp | DeliverService]) -> None:
        await asyncio.gather(*[app.stop() for app in apps])
        await self._web.stop()


def run(settings: Settings, roles: Sequence[str]) -> None:
    """Run the service until SIGTERM or SIGINT; a failure ends the process with exit code 1."""
    share_one_heap()
    configure_logs()
    create_missing(settings)
    check_policies(settings)
    # Not `uvloop.run`, which waits for what it cancels: while they start, some of Faust's tasks
    # outlive that, and their threads would answer for members of groups that do nothing.
    uvloop.new_event_loop().run_until_complete(_serve(settings, roles))


async def _serve(settings: Settings, roles: Sequence[str]) -> None:
    worker, told = Worker(settings, roles), asyncio.Event()
    living = asyncio.ensure_future(_live(worker, told))
    loop = asyncio.get_running_loop()

    def stop() -> None:
        _bound_stop(settings.stop_seconds)
        if worker.ready:
            told.set()
        else:
            living.cancel()

    for number in STOPS:
        loop.add_signal_handler(number, stop)
    failing = asyncio.ensure_future(worker.failure())
    await asyncio.wait({living, failing}, return_when=asyncio.FIRST_COMPLETED)
    if failing.done():
        end_process(failing.exception())
    failing.cancel()
    with suppress(asyncio.CancelledError):
        await living


def _bound_stop(seconds: float) -> None:
    """End the process after so long, or when told once more: from outside the loop, if need be."""

    def give_up(why: str) -> None:
        end_process(
            BrokerUnavailable(
                f"{why}: ended before all was delivered and committed, which the next worker reads "
                "again; look whether Kafka answers"
            )
        )

    loop = asyncio.get_running_loop()

    def be_late() -> None:
        tell(asyncio.all_tasks(loop))
        give_up(f"not done stopping after {seconds:g} s (CRM_STOP_SECONDS)")

    late = Timer(seconds, be_late)
    late.daemon = True
    late.start()
    for number in STOPS:
        loop.remove_signal_handler(number)
        signal.signal(number, lambda *_: give_up("told to stop a second time"))


async def _live(worker: Worker, told: asyncio.Event) -> None:
    roles = list(worker.roles)
    _log.info("starting", roles=roles)
    async with worker.running():
        _log.info("ready", roles=roles)
        await told.wait()
        _log.info("stopping", roles=roles)


def _retrieve(failed: asyncio.Future[None]) -> None:
    """Keep asyncio from complaining about a failure that nobody waited for."""
    if not failed.cancelled():
        failed.exception()
