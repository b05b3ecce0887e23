"""Which systems do the small job, what they take, and where their packages are."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.pinned import ROOT

__all__ = ["OURS", "SYSTEMS", "System", "command", "install"]

OURS: Final = "crm-online"
HOME: Final = ROOT / ".bench"
INSTALL_SECONDS: Final = 600.0
_RIVER: Final = "river==0.26.1"
_ORJSON: Final = "orjson==3.13.0"
_UVLOOP: Final = "uvloop==0.23.0"


class System(NamedTuple):
    """One row of the table.

    Parameters
    ----------
    name
        As the table and the JSON say it.
    script
        Below ``benchmarks/peers``; ``""`` for this project.
    requirements
        Of its own environment, pinned.
    survives
        What a crash leaves of the customers' states, by its documentation.
    """

    name: str
    script: str
    requirements: tuple[str, ...]
    survives: str


SYSTEMS: Final = (
    System(OURS, "", (), "exactly"),
    System(
        "Faust, stock agent",
        "stock_faust.py",
        ("faust-streaming==0.15.3", "aiokafka==0.14.0", _RIVER, _ORJSON, _UVLOOP),
        "over-counts",
    ),
    System("Quix Streams", "quix.py", ("quixstreams==3.28.1", _RIVER, _ORJSON), "at least once"),
    System(
        "Bytewax",
        "bytewax_flow.py",
        ("bytewax[kafka]==0.21.1", "confluent-kafka==2.16.1", _RIVER, _ORJSON),
        "no",
    ),
    System(
        "FastStream",
        "faststream_app.py",
        ("faststream[kafka]==0.7.8", "aiokafka==0.14.0", _RIVER, _ORJSON, _UVLOOP),
        "no",
    ),
    System(
        "plain aiokafka",
        "plain_aiokafka.py",
        ("aiokafka==0.14.0", _RIVER, _ORJSON, _UVLOOP),
        "no",
    ),
)


def install(system: System) -> str | None:
    """Make the environment of a system, unless it is there; returns why it cannot be made.

    Environments stay in ``.bench/``, each under a name that its requirements decide.
    """
    home = _home(system)
    if not system.script or (home / "complete").exists():
        return None
    shutil.rmtree(home, ignore_errors=True)
    quiet = ["-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    try:
        venv.create(home, with_pip=True)
        done = subprocess.run(  # noqa: S603 - names and versions that stand above
            [_python(home), *quiet, *system.requirements],
            capture_output=True,
            text=True,
            check=False,
            timeout=INSTALL_SECONDS,
        )
    except subprocess.SubprocessError as error:
        return str(error)
    if done.returncode:
        return done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "pip failed"
    (home / "complete").touch()
    return None


def command(system: System) -> list[str]:
    """Return the command line that does the small job on that system."""
    if not system.script:
        return [sys.executable, "-m", "benchmarks.small.app"]
    python = _python(_home(system))
    if system.script == "stock_faust.py":
        agent = ["-A", f"benchmarks.peers.{Path(system.script).stem}"]
        return [python, "-m", "faust", *agent, "--loop", "uvloop", "worker", "-l", "info"]
    return [python, str(ROOT / "benchmarks" / "peers" / system.script)]


def _home(system: System) -> Path:
    wanted = "\n".join([sys.version, *system.requirements])
    digest = hashlib.sha256(wanted.encode()).hexdigest()[:8]
    return HOME / f"{Path(system.script).stem}-{digest}"


def _python(home: Path) -> str:
    return str(home / "bin" / "python")
