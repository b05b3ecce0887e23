"""What a fault must not change, and how a worker must end that cannot go on."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Self

import orjson

from crm_online.settings import Settings
from tests.streams.job import (
    Process,
    Tail,
    assert_same_outcomes,
    assert_same_states,
    cached,
    newest,
    undisturbed,
    until,
)

__all__ = [
    "Kept",
    "assert_exact",
    "assert_stops",
    "each_once",
    "sentences",
    "until_cached",
    "until_stopped",
]

MOST_ENDS = 8
NEXT_ACTION = re.compile(
    r"\b(check|set|run|raise|start|give|update|create|restart|free|correct|look|lower|stop)\b"
)


def sentences(log: str) -> list[str]:
    """Return the reasons that a worker gave for its end."""
    said = []
    for line in log.splitlines():
        if line.startswith("crm-online: "):
            said.append(line.removeprefix("crm-online: "))
        elif line.startswith("{"):
            read = orjson.loads(line)
            if read["event"] == "stopped":
                said.append(read["reason"])
    return said


async def until_stopped(worker: Process, seconds: float = 60.0) -> int:
    """Wait until a worker has ended by itself; returns its exit code."""
    with suppress(AssertionError):
        await until(lambda: worker.process.poll() is not None, seconds)
    code = worker.process.poll()
    assert code is not None, worker.log.read_text(errors="replace")[-3000:]
    return code


async def assert_stops(worker: Process, code: int, pattern: str, seconds: float = 60.0) -> None:
    """Wait for its end: one sentence, which says what is wrong and what to do next."""
    found = await until_stopped(worker, seconds)
    log = worker.log.read_text(errors="replace")
    said = sentences(log)
    assert len(said) == 1, log
    assert re.search(pattern, said[0]), said
    assert NEXT_ACTION.search(said[0]), said
    assert "Traceback" not in log
    assert "Unclosed" not in log
    assert found == code


class Kept:
    """A worker that is started again whenever it has ended, as an operator's supervisor does."""

    def __init__(self, settings: Settings, folder: Path, *roles: str) -> None:
        self._new = partial(Process, settings, folder, roles or ("score", "learn"))
        self._running = self._new()
        self.ends: list[str] = []

    async def __aenter__(self) -> Self:
        self._keeping = asyncio.ensure_future(self._keep())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._keeping.cancel()
        self._running.kill()
        with suppress(asyncio.CancelledError):
            await self._keeping

    async def _keep(self) -> None:
        while True:
            await until_stopped(self._running, 3600.0)
            self.ends.append(self.log())
            if len(self.ends) > MOST_ENDS:
                raise AssertionError(self.ends[-1][-3000:])
            self._running = self._new()

    def log(self) -> str:
        """Return all that the present one has said."""
        return self._running.log.read_text(errors="replace")

    def assert_ended_with_reasons(self) -> None:
        """Every end had one sentence, and showed no traceback."""
        for log in self.ends:
            assert len(sentences(log)) == 1, log
            assert "Traceback" not in log, log


def assert_exact(settings: Settings, tail: Tail) -> None:
    """Compare states, scores and outcomes with an undisturbed run over the same log.

    Repeats are allowed: delivery is at least once.
    """
    truth, effects = undisturbed(settings, tail.records["events"])
    assert_same_states(truth, tail.records["state"])
    for noun in ("scores", "outcomes"):
        wanted = _names(m for e in effects for m in e.outputs.get(noun, ()))
        assert _names(tail.records[noun]).keys() == wanted.keys()
    assert_same_outcomes(
        (orjson.loads(m.value or b"") for e in effects for m in e.outputs.get("outcomes", ())),
        each_once(tail.records["outcomes"]),
    )


def each_once(records: Iterable[Any]) -> list[Any]:
    """Decode records, repeats left out."""
    return [
        orjson.loads(value)
        for value in {dict(r.headers)["ce_id"]: r.value for r in records}.values()
    ]


def _names(records: Iterable[Any]) -> Counter[bytes]:
    """Count effects by name; which lists went out, and so which touches followed one, may differ.

    A rescoring repeats what an older write had covered; removals have no name.
    """
    return Counter(
        dict(r.headers)["ce_id"]
        for r in records
        if r.value is not None
        and dict(r.headers)["ce_type"] != b"crm.next_item.settled"
        and b'"cause":"rescoring"' not in r.value
    )


async def until_cached(settings: Settings, tail: Tail) -> None:
    """Wait until the cache holds the last record of every customer."""

    async def same() -> bool:
        for noun in ("scores", "recommendations"):
            last = newest(tail.records[noun])
            wanted = {customer: value for customer, value in last.items() if value}
            if await cached(settings, noun, last) != wanted:
                return False
        return True

    await tail.read_all()
    await until(same)
