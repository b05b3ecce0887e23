"""The one HTTP server of a worker, in a thread and event loop of its own.

A batch keeps the worker's loop busy for a tenth of a second and more, and nobody who asks should
wait for it; nor should a thousand open dashboards hold up scoring. What the roles know is asked for
in the worker's loop, as nothing of theirs may be read in the middle of a step.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import structlog

from crm_online.errors import ConfigurationError

if TYPE_CHECKING:
    from crm_online.settings import Settings
    from streams.roles.web import WebRole
    from streams.web.connections import Bounds
    from streams.web.worker import Asked

__all__ = ["WebServer"]

BACKLOG: Final = 2048
STOP_SECONDS: Final = 5

_log = structlog.get_logger(__name__)


class WebServer:
    """Serves health and figures, and all the rest of HTTP where the worker has the role `web`.

    Parameters
    ----------
    settings
        Of the whole program; port 0 serves nothing.
    worker
        What the roles know.
    stop
        Called in the worker's loop with what went wrong.
    web
        The role `web`, where the worker has it.
    bounds
        What clients may do; its defaults where it is `None`.
    """

    def __init__(
        self,
        settings: Settings,
        worker: Asked,
        stop: Callable[[BaseException], None],
        web: WebRole | None,
        bounds: Bounds | None = None,
    ) -> None:
        self._settings = settings
        self._worker = worker
        self._stop = stop
        self._web = web
        self._bounds = bounds
        self._server: Any = None
        self._stopped = False
        self._thread: threading.Thread | None = None

    async def start(self) -> None:
        """Listen.

        Raises
        ------
        ConfigurationError
            Where the address is taken or not ours.
        """
        if not self._settings.web_port:
            return
        listening = self._bind()
        loop = asyncio.get_running_loop()
        self._thread = threading.Thread(
            target=self._run, args=(listening, loop), name="web", daemon=True
        )
        self._thread.start()

    async def stop(self) -> None:
        """Answer what is under way, and listen no more."""
        self._stopped = True
        if self._web is not None:
            self._web.stopping = True  # else the server would wait for open dashboards
        if self._thread is not None:
            if self._server is not None:  # else the thread sees it before it serves
                self._server.should_exit = True
            await asyncio.to_thread(self._thread.join)

    def _bind(self) -> socket.socket:
        host, port = self._settings.web_host, self._settings.web_port
        listening = None
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(
                host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            listening = socket.socket(family, kind, protocol)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(BACKLOG)  # at once: a second worker must not get as far as this
        except OSError as error:
            if listening is not None:
                listening.close()
            raise ConfigurationError(
                f"cannot serve HTTP on {host}:{port} ({error.strerror}): set CRM_WEB_HOST and "
                "CRM_WEB_PORT to an address that is free"
            ) from error
        return listening

    def _app(self, loop: asyncio.AbstractEventLoop, seconds: int) -> Any:
        if self._web is None:
            from streams.web.operations import operations_app  # noqa: PLC0415 - as below

            return operations_app(self._worker)
        from streams.web.application import whole_app  # noqa: PLC0415 - as below

        def stop(error: BaseException) -> None:
            loop.call_soon_threadsafe(self._stop, error)

        return whole_app(self._settings, self._worker, self._web, stop, seconds)

    def _run(self, listening: socket.socket, loop: asyncio.AbstractEventLoop) -> None:
        """Serve until told to stop: the body of the thread."""
        try:
            import uvicorn  # noqa: PLC0415 - a tenth of a second that the roles need not wait for

            from streams.web.connections import (  # noqa: PLC0415 - as above
                Bounds,
                Connection,
                raise_file_limit,
            )

            bounds = self._bounds or Bounds()
            options = uvicorn.Config(
                self._app(loop, bounds.seconds),
                http=Connection,
                limit_concurrency=bounds.most(raise_file_limit()),
                timeout_keep_alive=bounds.seconds,
                access_log=False,
                log_config=None,
                backlog=BACKLOG,
                server_header=False,
                timeout_graceful_shutdown=STOP_SECONDS,
            )
            self._server = uvicorn.Server(options)
            if not self._stopped:
                self._server.run(sockets=[listening])
        except BaseException as error:  # noqa: BLE001 - else the thread would end silently
            _log.error("the HTTP server has failed", reason=repr(error))
            loop.call_soon_threadsafe(self._stop, error)
        finally:
            listening.close()
