"""How many connections there may be, and how long each may take to say what it wants.

Kafka, Redis and HTTP share one number of open files: where clients could use it up, nobody could
connect to a broker that comes back.
"""

from __future__ import annotations

import asyncio
import resource
from typing import Any, Final, NamedTuple

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

__all__ = ["Bounds", "Connection", "raise_file_limit"]

FILES: Final = 65_536
SPARE: Final = 64  # connections beyond the most, which are still told that there are too many


class Bounds(NamedTuple):
    """What clients may do.

    Parameters
    ----------
    seconds
        How long one may take to send headers, and then a body; a connection that is not used is
        closed after as long.
    connections
        How many there may be, where the open files suffice.
    """

    seconds: int = 30
    connections: int = 8_192

    def most(self, files: int) -> int:
        """Return how many connections there may be: a quarter of the open files is for others.

        Examples
        --------
        >>> Bounds().most(1_024), Bounds().most(65_536)
        (768, 8192)
        """
        return min(self.connections, files * 3 // 4)


class Connection(HttpToolsProtocol):
    """A connection that is closed where what was begun does not end, or there are far too many.

    uvicorn by itself waits for headers, and for bodies that were answered early, for as long as a
    client likes, and refuses nobody before there is a request.
    """

    _due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for headers."""
        super().connection_made(transport)
        if self.limit_concurrency and len(self.connections) > self.limit_concurrency + SPARE:
            transport.abort()
        else:
            self._wait()

    def on_message_begin(self) -> None:
        """Wait for the headers of one more request."""
        super().on_message_begin()
        self._wait()

    def on_headers_complete(self) -> None:
        """Wait no more."""
        self._end()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Wait no more."""
        self._end()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Wait for the end of a body that was answered before all of it was there."""
        if self.cycle.more_body:
            self._wait()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._end()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._end()
        self._due = self.loop.call_later(self.timeout_keep_alive, self.transport.abort)

    def _end(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None


def raise_file_limit() -> int:
    """Raise how many files this process may have open as far as we may, and return the number."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    if soft == resource.RLIM_INFINITY or soft >= most:
        return most
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return most
