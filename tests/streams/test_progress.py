"""Progress where there is no terminal: lines, each said once."""

from __future__ import annotations

from threading import Event

import pytest

from streams import progress
from streams.progress import Stage, progress_bar


def test_a_line_that_says_nothing_new_is_left_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "PLAIN_SECONDS", 0.01)
    stages = [Stage("reading", 0.5), *[Stage("reading models", 1.0)] * 9]
    asked, done = iter(stages), Event()

    def stage() -> Stage:
        found = next(asked, None)
        if found is None:
            done.set()
        return found or stages[-1]

    with progress_bar(stage):
        assert done.wait(30.0)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("reading: 50%")
    assert lines.count("reading models: 100%, about 0 s left") == 1
