"""A server in a process of its own, started and ended in order."""

from __future__ import annotations

import secrets
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar, Self

from crm_online.errors import CrmOnlineError

__all__ = ["HOST", "Server", "free_ports"]

HOST = "127.0.0.1"
# Below the ports that outgoing connections get: a client that retries a port there while its
# server is down ends up connected to itself, and the server can't come back.
PORTS = range(15_000, 32_000)
STOP_SECONDS = 20.0
POLL_SECONDS = 0.05
LOG_LINES = 15
# Its standard input ends when we do, however we end.
GUARD = 'read -r _; kill -9 "$1"; rm -rf "$2"'


class Server(ABC):
    """A server with a process, an address and a temporary folder of its own."""

    name: ClassVar[str]
    unavailable: ClassVar[type[CrmOnlineError]]

    def __init__(self) -> None:
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def command(self) -> Sequence[str]:
        """Return the command line of the server; makes ready what it needs."""

    @abstractmethod
    def answers(self) -> bool:
        """Say whether the server answers a request."""

    @property
    def folder(self) -> Path:
        """Where its files are, from the first start to the next `stop`."""
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix=f"crm-online-{self.name}-")
        return Path(self._folder.name)

    @property
    def process_id(self) -> int | None:
        """The server's process, ``None`` while it does not run."""
        return None if self._process is None else self._process.pid

    def start(self, timeout_seconds: float = 60.0) -> None:
        """Start the server and wait until it answers; does nothing where it runs.

        Raises
        ------
        CrmOnlineError
            Where it ends or stays silent; the message holds the end of its log.
        """
        if self._process is not None:
            return
        try:
            self._launch()
            self._await_answer(timeout_seconds)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the server in order, by force where it takes too long, and remove its files."""
        try:
            self._end(subprocess.Popen.terminate)
        finally:
            if self._folder is not None:
                self._folder.cleanup()
                self._folder = None

    def kill(self) -> None:
        """End the server at once, as a crash would; its files stay for another `start`."""
        self._end(subprocess.Popen.kill)

    def restart(self) -> None:
        """End the server in order and start it again, with its files, at the same address."""
        self._end(subprocess.Popen.terminate)
        self.start()

    def _launch(self) -> None:
        command = self.command()
        with (self.folder / "server.log").open("ab") as out:
            # A session of its own: Ctrl-C reaches us only, and we stop it in order.
            self._process = subprocess.Popen(
                command, stdout=out, stderr=out, cwd=self.folder, start_new_session=True
            )
        guard = ["/bin/sh", "-c", GUARD, "guard", str(self._process.pid), str(self.folder)]
        self._guard = subprocess.Popen(guard, stdin=subprocess.PIPE, start_new_session=True)

    def _await_answer(self, timeout_seconds: float) -> None:
        deadline = time.monotonic() + timeout_seconds
        while not self.answers():
            if self._process is None or self._process.poll() is not None:
                raise self.unavailable(f"{self.name} ended at its start:\n{self._log_end()}")
            if time.monotonic() > deadline:
                raise self.unavailable(f"{self.name} does not answer:\n{self._log_end()}")
            time.sleep(POLL_SECONDS)

    def _log_end(self) -> str:
        log = (self.folder / "server.log").read_text(encoding="utf-8", errors="replace")
        return "\n".join(log.splitlines()[-LOG_LINES:])

    def _end(self, how: Callable[[subprocess.Popen[bytes]], None]) -> None:
        process, self._process = self._process, None
        guard, self._guard = self._guard, None
        if guard is not None:  # first, as the server's number may soon be another's
            guard.kill()
            guard.communicate()
        if process is None:
            return
        how(process)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def __enter__(self) -> Self:
        """Start the server."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the server."""
        self.stop()


def free_ports(count: int) -> list[int]:
    """Find free ports on 127.0.0.1.

    Parameters
    ----------
    count
        How many, each another.

    Returns
    -------
    list of int
        Ports that nothing listens on; somebody else may take one before it is used.
    """
    found: list[int] = []
    while len(found) < count:
        port = secrets.choice(PORTS)
        if port not in found and _is_free(port):
            found.append(port)
    return found


def _is_free(port: int) -> bool:
    try:
        socket.create_server((HOST, port)).close()
    except OSError:
        return False
    return True
