"""How endpoints stand: well, failing or disabled. All workers agree by a topic, across restarts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Literal

import msgspec
import structlog

from crm_online.log import Message, Record

if TYPE_CHECKING:
    from crm_online.settings import Settings

__all__ = ["Said", "Standing", "apply", "message"]

State = Literal["well", "failing", "disabled"]
# A shorter failure is not worth a record; a restart forgets it.
NOTED_SECONDS: Final = 60.0
DAY_SECONDS: Final = 86_400.0

_log = structlog.get_logger(__name__)


class Said(msgspec.Struct, frozen=True):
    """How one endpoint stands, as ``crm.endpoints`` has it.

    Parameters
    ----------
    endpoint
        Its name.
    state
        ``well``, ``failing`` or ``disabled``.
    since
        When that began.
    why
        What failed last.
    """

    endpoint: str
    state: State
    since: datetime
    why: str = ""
    schema_version: int = 1


class Standing:
    """How one endpoint stands, and what its deliveries make of that.

    Parameters
    ----------
    name
        Of the endpoint.
    settings
        Of the whole program.
    write
        Puts a record onto ``crm.endpoints``.
    clock
        Seconds since 1970.
    """

    def __init__(
        self,
        name: str,
        settings: Settings,
        write: Callable[[Message], Awaitable[None]],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.said = Said(name, "well", datetime.fromtimestamp(0, UTC))
        self._patience = settings.webhook_disable_days * DAY_SECONDS
        self._write = write
        self._clock = clock
        self._failing_since: float | None = None
        self._asked: State | None = None
        self._saying: asyncio.Future[None] | None = None
        self._changed = asyncio.Event()

    @property
    def disabled(self) -> bool:
        """Whether nothing is to be sent."""
        return "disabled" in {self.said.state, self._asked}

    async def until(self, *, disabled: bool) -> None:
        """Return when it is, or is not, disabled."""
        while self.disabled != disabled:
            self._changed.clear()
            await self._changed.wait()

    def hear(self, said: Said) -> None:
        """Take what the topic says: that holds, whoever wrote it."""
        if said.state == "disabled" and self.said.state != "disabled":
            _log.error(
                "an endpoint is disabled: its actions wait; `crm-online endpoints enable` lets "
                "them go on",
                endpoint=said.endpoint,
                why=said.why,
            )
        elif self.said.state == "disabled" and said.state != "disabled":
            _log.info("an endpoint is enabled", endpoint=said.endpoint)
        if said.state == "well":  # another worker delivered, or somebody enabled it
            self._failing_since = None
        self.said, self._asked = said, None
        self._changed.set()

    async def succeeded(self) -> None:
        """Take note that a webhook was delivered."""
        self._failing_since = None
        if self.said.state == "failing":
            await self._say("well", self._clock(), "")

    async def failed(self, why: str) -> None:
        """Take note that one was not; with none delivered for days, it is disabled."""
        now = self._clock()
        if self._failing_since is None:
            self._failing_since = now
        known = self.said.state == "failing"
        since = self.said.since.timestamp() if known else self._failing_since
        if now - since >= self._patience:
            await self._say("disabled", now, f"nothing delivered for days, {why}")
        elif not known and now - since >= NOTED_SECONDS:
            await self._say("failing", since, why)

    async def gone(self) -> None:
        """Disable it at once: the receiver said that it wants no more."""
        await self._say("disabled", self._clock(), "status 410")

    async def _say(self, state: State, since: float, why: str) -> None:
        if state == self._asked or self.disabled:
            return
        self._asked = state
        said = Said(self.said.endpoint, state, datetime.fromtimestamp(since, UTC), why)
        # Whoever delivers is cancelled when partitions go; what it learned is said all the same.
        self._saying = asyncio.ensure_future(self._write(message(said)))
        await asyncio.shield(self._saying)


def message(said: Said) -> Message:
    """Make the record that says how an endpoint stands."""
    return Message(said.endpoint.encode(), msgspec.json.encode(said))


def apply(records: Sequence[Record], standings: dict[str, Standing]) -> None:
    """Let the endpoints hear what their topic says; what is none of ours is read over."""
    for record in records:
        name = (record.key or b"").decode(errors="replace")
        if name in standings and record.value is not None:
            standings[name].hear(msgspec.json.decode(record.value, type=Said))
