"""Progress where there is no terminal: lines, each said once."""

from __future__ import annotations

import time
from threading import Event
from typing import Any

import numba
import pytest

from crm_online.models.compiling import compiled, is_compiling
from streams import progress
from streams.progress import Stage, progress_bar


def lines_of(
    stages: list[Stage], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> list[str]:
    monkeypatch.setattr(progress, "PLAIN_SECONDS", 0.01)
    asked, done = iter(stages), Event()

    def stage() -> Stage:
        found = next(asked, None)
        if found is None:
            done.set()
        return found or stages[-1]

    with progress_bar(stage):
        assert done.wait(30.0)
    return capsys.readouterr().err.splitlines()


def test_a_line_that_says_nothing_new_is_left_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stages = [Stage("reading", 0.5), *[Stage("reading models", 1.0)] * 9]
    lines = lines_of(stages, monkeypatch, capsys)
    assert lines[0].startswith("reading: 50%")
    assert lines.count("reading models: 100%") == 1


def test_the_time_left_is_told_by_what_was_done_under_the_same_word(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(progress, "is_compiling", lambda: clock.append(clock.pop() + 10.0))
    stages = [Stage("compiling", None), Stage("replaying", 0.5), Stage("replaying", 0.6)]
    assert lines_of(stages, monkeypatch, capsys)[:3] == [
        "compiling …",
        "replaying: 50%",
        "replaying: 60%, about 40 s left",
    ]


def test_compiling_is_said_once_and_only_while_it_lasts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found: dict[str, Any] = {}
    exec("def double(number):\n    return 2 * number\n", found)  # in no file, so never cached
    seen: list[bool] = []
    kernel = compiled(found["double"])
    listener = _Looking(seen)
    monkeypatch.setattr(progress, "PLAIN_SECONDS", 0.005)
    with (
        numba.core.event.install_listener("numba:compile", listener),
        progress_bar(lambda: Stage("replaying", 0.0)),
    ):
        assert kernel(21) == 42
    assert seen == [True]
    assert not is_compiling()
    assert capsys.readouterr().err.splitlines().count("compiling, once per machine …") == 1


class _Looking(numba.core.event.Listener):
    def __init__(self, seen: list[bool]) -> None:
        self._seen = seen

    def on_start(self, event: object) -> None:
        del event
        self._seen.append(is_compiling())
        time.sleep(0.1)

    def on_end(self, event: object) -> None:
        """Nothing."""
