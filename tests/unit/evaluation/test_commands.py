"""`crm-online evaluate` on a table that a test generated: figures, pictures, and clear mistakes."""

from __future__ import annotations

import csv
import gzip
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from crm_online.evaluation import extras
from streams.cli import app
from tests.unit.evaluation.histories import DAY, history, write_table

COLUMNS = ("--format", "csv", "--customer", "client", "--at", "day")
MORE = (*COLUMNS, "--item", "item", "--amount", "paid", "--kind", "what")
SHORT = ("--horizon-days", "7", "--sweep-days", "3.5", "--set", "min_outcomes=10")
CHURN = {"auc", "pr_auc", "log_loss", "brier", "ece", "lift_10", "seconds"}
VALUE = {"mae", "spearman", "top_decile_share", "sum_ratio", "seconds"}


def invoke(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [*map(str, arguments)], env={"COLUMNS": "200"})


def evaluate(*arguments: str | Path) -> Result:
    return invoke("evaluate", *arguments)


def reported(*arguments: str | Path) -> dict[str, Any]:
    done = evaluate(*arguments, "--json")
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_table(tmp_path_factory.mktemp("shop") / "sales.csv", history())


def rows(path: Path, lines: Sequence[Sequence[object]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("client", "day", "paid"), *lines])
    return path


def test_churn_beside_its_baselines(table: Path, tmp_path: Path) -> None:
    picture = tmp_path / "churn.svg"
    found = reported("churn", table, *MORE, *SHORT, "--baselines", "--plot", picture)
    assert set(found["baselines"]) == {"base_rate", "lightgbm", "logistic_regression"}
    for figures in (found["scorer"], *found["baselines"].values()):
        assert set(figures) >= CHURN
        assert all(figures[name] is not None and figures[name] >= 0.0 for name in CHURN)
    assert found["scorer"]["auc"] > found["baselines"]["base_rate"]["auc"]
    assert found["scorer"]["log_loss"] < math.log(2.0)
    assert 0 < found["churned"] < found["predictions"]
    assert found["predictions"] + found["late"] + found["unscored"] == found["settled"]
    assert found["reproduced"] == found["predictions"]
    assert "<svg" in picture.read_text(encoding="utf-8")[:600]


def test_value_beside_its_baselines(table: Path, tmp_path: Path) -> None:
    picture = tmp_path / "value.png"
    found = reported("value", table, *MORE, *SHORT, "--baselines", "--plot", picture)
    assert set(found["baselines"]) == {
        *("mean_so_far", "last_period", "average_rate", "bg_nbd_gamma_gamma")
    }
    for figures in (found["scorer"], *found["baselines"].values()):
        assert set(figures) == VALUE
        assert figures["mae"] > 0.0
    assert found["reproduced"] == found["predictions"]
    assert picture.read_bytes()[1:4] == b"PNG"


def test_segments(table: Path, tmp_path: Path) -> None:
    found = reported("segments", table, *MORE, *SHORT, "--plot", tmp_path / "segments.png")
    segments = found["segments"]
    assert sum(about["share"] for about in segments.values()) == pytest.approx(1.0)
    flow = found["flow"]
    assert sum(sum(row.values()) for row in flow.values()) == found["moves"] > 0
    kept = sum(flow[name][name] for name in flow) / found["moves"]
    assert found["stability"] == pytest.approx(kept)
    assert found["stability_lowest"] <= kept <= found["stability_highest"]
    assert -1.0 <= found["clusters"]["silhouette"] <= 1.0


def test_tables_are_for_people(table: Path) -> None:
    for kind, words in (
        ("churn", "crm-online"),
        ("value", "Spearman"),
        ("segments", "champions"),
    ):
        done = evaluate(kind, table, *MORE, *SHORT)
        assert done.exit_code == 0, done.output
        assert words in done.stdout


MISTAKES: dict[str, tuple[list[str], list[tuple[object, ...]], str]] = {
    "empty": (["churn"], [], "no event"),
    "short": (["churn"], [("a", 0, 5), ("a", 9 * DAY, 5)], "--horizon-days"),
    "value of a short one": (["value"], [("a", 0, 5), ("a", 9 * DAY, 5)], "--horizon-days"),
    "segments of a minute": (["segments"], [("a", 0, 5), ("b", 60, 5)], "longer history"),
    "refunds": (["churn"], [("a", n * DAY, -5) for n in range(90)], "refunds are no activity"),
    "value of refunds": (["value"], [("a", n * DAY, -5) for n in range(90)], "1 customers: "),
    "no orders": (["value"], [("a", n * DAY, "") for n in range(90)], "--amount"),
    "one class": (["churn"], [("a", n * DAY, 5) for n in range(90)], "nobody churned"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_what_cannot_be_rated_is_said_in_a_sentence(name: str, tmp_path: Path) -> None:
    kind, lines, words = MISTAKES[name]
    start = 1_700_000_000.0
    shifted = [(who, start + float(at), paid) for who, at, paid in lines]  # type: ignore[arg-type]
    table = rows(tmp_path / "shop.csv", shifted)
    done = evaluate(*kind, table, *COLUMNS, "--amount", "paid", "--json")
    assert done.exit_code in {1, 2}, done.output
    assert words in done.stderr
    assert "Traceback" not in done.output
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--plot", "churn.pdf"], ".png or .svg"),
        (["--plot", "no/such/folder/churn.png"], "no folder"),
        (["--horizon-days", "-3"], "horizon"),
        (["--sweep-days", "0"], "interval"),
        (["--horizon-days", "1000"], "state_ttl_days"),
        (["--sweep-days", "0.001"], "prediction_interval_days must be at least 0.03"),
    ],
)
def test_wrong_flags_are_named_before_any_work(table: Path, flags: list[str], words: str) -> None:
    done = evaluate("churn", table, *COLUMNS, *flags)
    assert done.exit_code == 2
    assert words in done.stderr


def test_one_date_far_off_settles_nothing(table: Path, tmp_path: Path) -> None:
    asked = ("churn", *MORE, *SHORT, "--json")
    good = evaluate(*asked, table)
    odd = tmp_path / "odd.csv"
    odd.write_text(table.read_text("utf-8") + "c0000001,2099-01-01,,,visit\n", "utf-8")
    found = evaluate(*asked, odd)
    assert found.exit_code == 1
    assert "left out 1 event, from 2099-01-01 00:00 on" in found.stderr
    assert "CRM_STATE_TTL_DAYS" in found.stderr
    assert figures(found) == figures(good)


def figures(done: Result) -> dict[str, Any]:
    """Take what is no matter of time out of a report."""
    found = json.loads(done.stdout)
    del found["replay_seconds"], found["scorer"]["seconds"]
    return dict(found)


def test_a_silence_in_which_all_settles_is_told(table: Path, tmp_path: Path) -> None:
    odd = tmp_path / "odd.csv"
    last = history()[-1].at
    late = f"c0000001,{last + 100 * DAY},,,visit\n"
    odd.write_text(table.read_text("utf-8") + late, "utf-8")
    done = evaluate("churn", *MORE, *SHORT, odd)
    assert done.exit_code == 0
    assert "which is 100 days" in done.stderr
    assert "nobody did anything" not in evaluate("churn", *MORE, *SHORT, table).stderr


@pytest.mark.parametrize("cut", [1, 5, 9, 200])
def test_what_stands_before_the_cut_of_a_gzip_is_rated(
    table: Path, tmp_path: Path, cut: int
) -> None:
    packed = tmp_path / "cut.csv.gz"
    packed.write_bytes(gzip.compress(table.read_bytes(), mtime=0)[:-cut])
    done = evaluate("churn", *MORE, *SHORT, "--json", packed)
    assert done.exit_code == 1
    assert "only what stands before that was used" in done.stderr
    if cut <= 8:  # its trailer: every row is there
        assert figures(done) == figures(evaluate("churn", *MORE, *SHORT, "--json", table))
    assert figures(done)["predictions"] > 0


@pytest.mark.parametrize("kind", ["churn", "value", "segments"])
@pytest.mark.parametrize("name", ["nothing.csv", "header.csv", "stub.csv.gz"])
def test_files_without_an_event_end_alike(tmp_path: Path, kind: str, name: str) -> None:
    file = tmp_path / name
    header = b"client,day\n"
    file.write_bytes(
        {"nothing.csv": b"", "header.csv": header}.get(name, gzip.compress(header)[:9])
    )
    for done in (evaluate(kind, file, *COLUMNS), invoke("score", file, *COLUMNS)):
        assert done.exit_code == 1
        assert "the file holds no event: is --format what it holds?" in done.stderr


def test_tables_show_seasoned_figures_and_memory(table: Path, tmp_path: Path) -> None:
    head = evaluate("churn", table, *MORE, *SHORT).stdout
    assert "AUC*" in head
    assert "at least 1,000 labels" in head
    clicks = tmp_path / "clicks.csv"
    lines = [f"s{n // 3},i{n % 7},{n}" for n in range(90)]
    clicks.write_text("\n".join(["session,item,time", *lines]), encoding="utf-8")
    assert "MB held" in evaluate("next-item", clicks, clicks).stdout


def test_a_missing_package_is_named_with_what_to_install(
    table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == "lightgbm" else True)
    done = evaluate("churn", table, *COLUMNS, "--baselines")
    assert done.exit_code == 2
    assert "lightgbm" in done.stderr
    assert "pip install -e '.[evaluate]'" in done.stderr
