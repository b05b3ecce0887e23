"""Workers as real processes: started, killed, paused, told to stop, replaced where they died."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel, SecretStr

if TYPE_CHECKING:
    from crm_online.settings import Settings

__all__ = ["ENTRY", "Fleet", "Worker", "variables"]

ENTRY: Final = (sys.executable, "-m", "streams", "worker", "--roles", "all")
ROOT: Final = Path(__file__).resolve().parents[2]
STOP_SECONDS: Final = 60.0
LOG_LINES: Final = 3
# Its standard input ends when we do, however we end.
GUARD: Final = 'read -r _; kill -9 "$1"'


class Worker:
    """One worker process.

    Parameters
    ----------
    entry
        Command line.
    environment
        All variables that it gets.
    log
        File for all that it says.
    """

    def __init__(self, entry: Sequence[str], environment: dict[str, str], log: Path) -> None:
        self.log = log
        self.paused = self.leaving = False
        with log.open("wb") as out:
            self._process = subprocess.Popen(  # noqa: S603 - a command line of ours
                list(entry),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                cwd=log.parent,
                env=environment,
                start_new_session=True,  # Ctrl-C reaches us only
            )
        self._guard = subprocess.Popen(  # noqa: S603 - as above
            ["/bin/sh", "-c", GUARD, "guard", str(self._process.pid)],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """Number of the process."""
        return self._process.pid

    def code(self) -> int | None:
        """Return its exit code, ``None`` while it runs."""
        return self._process.poll()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to this process, unless it has ended."""
        self._process.send_signal(number)

    def end(self) -> int:
        """End it at once, where it has not ended by itself; returns its exit code."""
        self._guard.kill()  # first, as the worker's number may soon be another's
        self._guard.communicate()
        if self._process.poll() is None:
            self._process.kill()
        return self._process.wait()

    def ended_as_told(self, code: int) -> bool:
        """Tell whether an exit code is what we did to it."""
        if not self.leaving:
            return code == -signal.SIGKILL
        # It listens to SIGTERM from its second line on; before, Python ends at once.
        begun = b"starting" in self.log.read_bytes()
        return code == 0 or (code == -signal.SIGTERM and not begun)

    def last_words(self) -> str:
        """Return the end of its log."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return " ".join(lines[-LOG_LINES:])[-600:]


class Fleet:
    """The workers of a run, kept at the number wanted.

    Parameters
    ----------
    settings
        That the workers get.
    folder
        For their logs.
    entry
        Command line of a worker.
    """

    def __init__(self, settings: Settings, folder: Path, entry: Sequence[str] = ENTRY) -> None:
        self._environment = _environment(settings)
        self._folder = folder
        self._entry = entry
        self._started = 0
        self.wanted = 0
        self.running: list[Worker] = []
        self.deaths: list[str] = []

    def mend(self) -> None:
        """Put aside those that ended, and start as many as are missing."""
        for worker in list(self.running):
            code = worker.code()
            if code is None:
                continue
            self.running.remove(worker)
            worker.end()
            if not worker.ended_as_told(code):
                self.deaths.append(f"{worker.log.name} ended with {code}: {worker.last_words()}")
        staying = sum(not worker.leaving for worker in self.running)
        for _ in range(self.wanted - staying):
            self._start()

    def pick(self, number: int) -> Worker | None:
        """Return one of those that run undisturbed, by a seeded number."""
        able = [w for w in self.running if not (w.paused or w.leaving) and w.code() is None]
        return able[number % len(able)] if able else None

    def end(self) -> None:
        """End all of them at once."""
        for worker in self.running:
            worker.end()
        self.running.clear()

    def _start(self) -> None:
        self._started += 1
        log = self._folder / f"worker-{self._started}.log"
        self.running.append(Worker(self._entry, self._environment, log))


def variables(settings: Settings) -> Iterator[tuple[str, str]]:
    """Return settings as the environment variables that bring them about."""
    for name in sorted(settings.model_fields_set):
        value = _plain(getattr(settings, name))
        text = str(value) if isinstance(value, str | Path) else json.dumps(value)
        yield f"CRM_{name.upper()}", "none" if value is None else text


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    if isinstance(value, dict):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, BaseModel):
        return {name: _plain(each) for name, each in value}
    return value.get_secret_value() if isinstance(value, SecretStr) else value


def _environment(settings: Settings) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CRM_")}
    path = os.pathsep.join([str(ROOT), *filter(None, [kept.get("PYTHONPATH")])])
    return kept | {"PYTHONPATH": path} | dict(variables(settings))
