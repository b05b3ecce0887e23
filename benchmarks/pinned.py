"""One core for the broker and all that feeds and watches it, the others for what is measured."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from urllib.request import urlopen

from crm_online import Settings
from streams.embedded import RealKafka, kafka_available
from streams.embedded.server import HOST, free_ports
from streams.verify.workers import variables

__all__ = [
    "BROKER_CORE",
    "ROOT",
    "Program",
    "answer",
    "broker",
    "cores",
    "cpu_seconds",
    "program",
    "ready_worker",
    "worker",
]

ROOT: Final = Path(__file__).resolve().parents[1]
BROKER_CORE: Final = 0
STOP_SECONDS: Final = 60.0
LOG_BYTES: Final = 3000
READY_SECONDS: Final = 300.0

Program = subprocess.Popen[bytes]


@cache
def cores() -> tuple[int, ...]:
    """Return the cores for what is measured; none where nothing can be pinned."""
    able = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    return tuple(able[1:]) if len(able) > 1 and shutil.which("taskset") else ()


@contextmanager
def broker() -> Iterator[str]:
    """Start a real Kafka on the first core, with this process beside it; yields its address."""
    missing = kafka_available()
    if missing is not None:
        raise SystemExit(missing)
    # A topic that was just made has no leader for a moment; aiokafka says so at each attempt.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    pinned = cores()
    if pinned:
        os.sched_setaffinity(0, {BROKER_CORE})
    with RealKafka(cores=[BROKER_CORE] if pinned else []) as kafka:
        yield kafka.address


@contextmanager
def program(
    command: Sequence[str],
    environment: Mapping[str, str],
    *,
    core: int = 0,
    end: signal.Signals = signal.SIGTERM,
) -> Iterator[Program]:
    """Run what is measured, in a folder of its own, until the block ends; shows its log on failure.

    Parameters
    ----------
    command
        Without `taskset`.
    environment
        Beside the one that we have, less its ``CRM_`` variables.
    core
        Which of those for what is measured, counted round.
    end
        Signal that ends it.
    """
    pin = ["taskset", "-c", str(cores()[core % len(cores())])] if cores() else []
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CRM_")}
    with TemporaryDirectory() as folder, (Path(folder) / "log").open("wb+") as log:
        path = {"PYTHONPATH": str(ROOT), "BENCH_FOLDER": folder}
        running = subprocess.Popen(  # noqa: S603 - our own programs
            [*pin, *command],
            stdout=log,
            stderr=log,
            cwd=folder,
            env=kept | path | dict(environment),
        )
        try:
            yield running
            running.send_signal(end)
            running.wait(STOP_SECONDS)
        except BaseException:
            running.kill()
            running.wait()
            log.seek(0)
            sys.stderr.buffer.write(log.read()[-LOG_BYTES:])
            raise


@contextmanager
def worker(settings: Settings, roles: str, *, core: int = 0) -> Iterator[Program]:
    """Run a worker of this project with these roles."""
    command = [sys.executable, "-m", "streams", "worker", "--roles", roles]
    with program(command, dict(variables(settings)), core=core) as running:
        yield running


@contextmanager
def ready_worker(settings: Settings, roles: str) -> Iterator[float]:
    """Run a worker; yields once it is ready for events, with the seconds since it was started."""
    (port,) = free_ports(1)
    began = time.monotonic()
    with worker(settings.model_copy(update={"web_port": port}), roles) as running:
        while not _says_ready(port):
            if running.poll() is not None or time.monotonic() - began > READY_SECONDS:
                raise RuntimeError("the worker does not get ready")
            time.sleep(0.02)
        yield time.monotonic() - began


def _says_ready(port: int) -> bool:
    try:
        with urlopen(f"http://{HOST}:{port}/health/ready", timeout=1.0) as said:
            return bool(json.load(said)["ready"])
    except OSError:  # nobody listens yet, or it says 503
        return False


def cpu_seconds(process: int) -> float:
    """Return user and system time of a process, all threads; Linux only."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def answer(module: str, *arguments: str) -> Any:
    """Run a module of ours on a core for what is measured, and return the JSON that it prints."""
    pin = ["taskset", "-c", str(cores()[0])] if cores() else []
    done = subprocess.run(  # noqa: S603 - our own modules
        [*pin, sys.executable, "-m", module, *arguments],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        check=True,
    )
    return json.loads(done.stdout)
