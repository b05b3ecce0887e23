"""`/health/live` and `/health/ready`: whether a worker must be restarted, and whether it works."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Protocol

from aiohttp import web

from crm_online.errors import ConfigurationError

__all__ = ["Health", "Reported", "RoleHealth"]

# States of a role in which all is well; docs/operations.md has the others.
WELL: Final = frozenset({"running", "standby"})


@dataclass(frozen=True, slots=True)
class RoleHealth:
    """How one role is.

    Parameters
    ----------
    state
        ``starting``, ``joining``, ``restoring``, ``running``, ``standby``, ``waiting``, ``lost``
        or ``stalled``.
    partitions
        How many it reads.
    lag
        Records known of on them and not done with.
    waits_for
        What is away; empty where nothing is.
    restored, to_restore
        Records read back by the restore that runs, and offsets that it has yet to read.
    """

    state: str
    partitions: int = 0
    lag: int = 0
    waits_for: str = ""
    restored: int = 0
    to_restore: int = 0


class Reported(Protocol):
    """A role that says how it is."""

    def health(self) -> RoleHealth:
        """Return it as of now."""


class Health:
    """Serves the health of a worker over HTTP.

    Parameters
    ----------
    roles
        By name.
    host, port
        Where to listen; port 0 does not.
    """

    def __init__(self, roles: Mapping[str, Reported], host: str, port: int) -> None:
        self._roles = roles
        self._host = host
        self._port = port
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Listen.

        Raises
        ------
        ConfigurationError
            Where the address is taken or not ours.
        """
        if not self._port:
            return
        app = web.Application()
        app.add_routes([web.get("/health/live", self._live), web.get("/health/ready", self._ready)])
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._port).start()
        except OSError as error:
            raise ConfigurationError(
                f"cannot serve /health on {self._host}:{self._port} ({error.strerror}): set "
                "CRM_WEB_HOST and CRM_WEB_PORT to an address that is free"
            ) from error

    async def stop(self) -> None:
        """Listen no more."""
        if self._runner is not None:
            await self._runner.cleanup()

    def live(self) -> bool:
        """Say whether the worker goes on by itself: waiting for others is no reason to end."""
        return all(role.health().state != "stalled" for role in self._roles.values())

    def ready(self) -> bool:
        """Say whether every role has its partitions and their states, and does its work."""
        return all(role.health().state in WELL for role in self._roles.values())

    async def _live(self, _: web.Request) -> web.Response:
        return self._answer("live", met=self.live())

    async def _ready(self, _: web.Request) -> web.Response:
        return self._answer("ready", met=self.ready())

    def _answer(self, question: str, *, met: bool) -> web.Response:
        roles: dict[str, Any] = {name: asdict(role.health()) for name, role in self._roles.items()}
        return web.json_response({question: met, "roles": roles}, status=200 if met else 503)
