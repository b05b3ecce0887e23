from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

from benchmarks.performance_page import PAGES, TABLES, renewed
from benchmarks.reaching import figures, table
from benchmarks.results import Step, load, run_all, save

ROOT = Path(__file__).resolve().parents[3]
WITH_EXAMPLES = ("small.job", "small.events", "small.measuring", "thinning", "worlds")


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples_run(name: str) -> None:
    found = doctest.testmod(importlib.import_module(f"benchmarks.{name}"))
    assert found.attempted
    assert not found.failed


def _row(job: str, system: str, speed: float) -> dict[str, object]:
    return {"job": job, "system": system, "events_per_second": speed, "repeats": 3, "runs": []}


def test_a_ratio_stands_beside_what_was_wanted(tmp_path: Path) -> None:
    rows = [_row("small", "crm-online", 50_000.0), _row("small", "Quix Streams", 20_000.0)]
    save("bench", [*rows, _row("whole", "crm-online", 15_000.0)], tmp_path)
    found = {figure.what: figure for figure in figures(tmp_path)}
    small = found["small job ÷ Quix Streams"]
    assert (small.reached, small.met) == (2.5, True)
    whole = found["whole job ÷ Quix Streams doing the small job"]
    assert (whole.reached, whole.met) == (0.75, False)
    assert found["small job ÷ Bytewax"].met is None


def test_the_table_has_a_line_for_each_figure(tmp_path: Path) -> None:
    assert len(list(table(tmp_path))) == 2 + len(list(figures(tmp_path)))


def test_every_table_has_its_place_in_a_page() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    for name in TABLES:
        assert f"<!-- {name} -->" in text
        assert f"<!-- end of {name} -->" in text


def test_pages_say_what_the_results_say() -> None:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        assert renewed(text) == text


def test_a_page_is_made_anew_from_results(tmp_path: Path) -> None:
    page = "# A\n\n<!-- parts -->\nold\n<!-- end of parts -->\nB\n"
    assert "Not measured yet." in renewed(page, tmp_path)
    parts = {
        "microseconds": {"decode": 1.25},
        "total": 1.25,
        "lists": 1,
        "scores": 1,
        "outcomes": 0,
    }
    save("parts", parts, tmp_path)
    assert "| decode | 1.2 |" in renewed(page, tmp_path)
    assert renewed(page, tmp_path).endswith("<!-- end of parts -->\nB\n")


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    save("x", {"a": [1, 2.5]}, tmp_path)
    assert load("x", tmp_path) == {"a": [1, 2.5]}
    assert load("y", tmp_path) is None


def test_a_run_says_what_it_does_and_how_long_the_rest_takes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    done, now = list[str](), [0.0]

    def work(name: str) -> None:
        done.append(name)
        now[0] += 120.0  # twice as long as was thought

    steps = [Step(name, 60.0, lambda name=name: work(name)) for name in ("a", "b", "c")]  # type: ignore[misc]
    run_all(steps, lambda: now[0])
    assert done == ["a", "b", "c"]
    assert capsys.readouterr().err.splitlines() == [
        "[1/3] a; about 3 min left",
        "[2/3] b; about 3 min left",
        "[3/3] c; about 2 min left",
    ]
