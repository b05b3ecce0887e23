"""`crm-online evaluate next-item`: files, figures, and both protocols on a small shop."""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner

from crm_online.errors import ConfigurationError, CrmOnlineError
from crm_online.evaluation.next_item import evaluate_next_item
from crm_online.evaluation.next_item_baselines import BASELINES
from crm_online.evaluation.next_item_files import read_clicks
from crm_online.evaluation.next_item_metrics import ListQuality
from crm_online.models.next_item import Query
from crm_online.scores import Interaction
from streams.cli import app

FIGURES = {
    *("hr_1", "hr_5", "hr_10", "hr_20", "mrr_20", "ndcg_20", "coverage_20", "popularity_20"),
    *("microseconds_per_query", "microseconds_per_interaction"),
}


def _shop(sessions: int, first: int = 0) -> list[tuple[str, int, str]]:
    """Walks along two shelves: session, position, item."""
    return [
        (f"s{n}", place, f"{'ab'[n % 2]}{(n * 3 + place) % 12}")
        for n in range(first, first + sessions)
        for place in range(4)
    ]


def _write(path: Path, header: str, rows: Sequence[tuple[object, ...]]) -> Path:
    text = "\n".join([header, *("\t".join(map(str, row)) for row in rows)]) + "\n"
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def _clicks(rows: list[tuple[str, int, str]], part: str) -> list[Interaction]:
    return [Interaction(n, 0, f"{part}-{s}", 1, i, "", 0.0) for n, (s, _, i) in enumerate(rows)]


def _read(clicks: list[Interaction]) -> list[tuple[str, str]]:
    return [(click.customer, click.item) for click in clicks]


def test_figures_of_lists_by_hand() -> None:
    quality = ListQuality({"a": 10, "b": 5, "c": 1})
    for item, listed in (("a", "abc"), ("c", "abc"), ("z", "ab"), ("b", "")):
        quality.add(item, list(listed))
    found = quality.figures()
    assert quality.queries == 4
    assert (found["hr_1"], found["hr_5"], found["hr_20"]) == (0.25, 0.5, 0.5)
    assert found["mrr_20"] == pytest.approx((1 + 1 / 3) / 4)
    assert found["ndcg_20"] == pytest.approx((1 + 1 / math.log2(4)) / 4)
    assert found["coverage_20"] == 1
    assert found["popularity_20"] == pytest.approx((16 + 16 + 15) / 8 / 10)
    assert ListQuality({}).figures()["hr_20"] is None


def test_times_order_clicks_across_sessions(tmp_path: Path) -> None:
    rows = [("s1", "x", "2020-01-01 00:00:02"), ("s2", "y", "2020-01-01 00:00:01"),
            ("s1", "z", "2020-01-01 00:00:02")]  # fmt: skip
    file = _write(tmp_path / "clicks.tsv.gz", "SessionId\tItemId\tTime", rows)
    assert _read(read_clicks(file, "p")) == [("p-s2", "y"), ("p-s1", "x"), ("p-s1", "z")]


def test_positions_order_clicks_within_sessions(tmp_path: Path) -> None:
    rows = [("s1", 1, "x"), ("s2", 0, "y"), ("s1", 0, "z")]
    file = _write(tmp_path / "clicks.tsv", "session_id\tpos\titem_id", rows)
    assert _read(read_clicks(file, "p")) == [("p-s1", "z"), ("p-s1", "x"), ("p-s2", "y")]


def test_an_order_of_the_whole_file_is_one(tmp_path: Path) -> None:
    rows = [("s1", 3, "x"), ("s2", 2, "y"), ("s1", 1, "z")]
    file = _write(tmp_path / "clicks.tsv", "session\torder\titem", rows)
    assert _read(read_clicks(file, "p")) == [("p-s1", "z"), ("p-s2", "y"), ("p-s1", "x")]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("session\titem\ttime\ns\tx\tsoon\n", r"line 2, column time: .*'soon'.* mend or remove"),
        ("session\titem\torder\ns\t\t1\n", r"line 2, column item"),
        ("session\titem\torder\ns\tx\t1\ns\ty\tlast\n", r"line 3, column order: .*'last'"),
        ("session\titem\torder\ns\tx\tnan\n", r"line 2, column order: .*'nan'"),
        ("session\titem\ttime\ns\tx\t1\ns\n", r"line 3: too-few-columns"),
        ("session\titem\ttime\n", "holds no clicks"),
    ],
)
def test_bad_rows_are_named_with_what_to_do(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "clicks.tsv"
    file.write_text(text)
    with pytest.raises(CrmOnlineError, match=said):
        read_clicks(file, "p")


@pytest.mark.parametrize(
    ("header", "said"),
    [("user\titem\ttime", "no column 'session'"), ("session\titem\tcolour", "'time' or 'order'")],
)
def test_missing_columns_are_named(tmp_path: Path, header: str, said: str) -> None:
    file = _write(tmp_path / "clicks.tsv", header, [("s", "x", "1")])
    with pytest.raises(ConfigurationError, match=said):
        read_clicks(file, "p")


def test_both_protocols_on_a_small_shop() -> None:
    told: list[tuple[str, float]] = []
    found = evaluate_next_item(
        _clicks(_shop(300), "train"),
        _clicks(_shop(60, 300), "test"),
        progress=lambda word, share: told.append((word, share)),
    )
    assert found.queries == 60 * 3
    assert found.baselines.keys() == BASELINES.keys()
    for judged in (found.scorer, *found.baselines.values()):
        assert judged.frozen.keys() == judged.prequential.keys() == FIGURES
    assert found.scorer.frozen["hr_1"] == 1
    assert found.baselines["markov"].frozen["hr_1"] == 1
    popular = found.baselines["popularity"].frozen["hr_1"]
    assert popular is not None
    assert popular < 0.2
    assert {word.partition(":")[0] for word, _ in told} == {"scorer", *BASELINES}


def test_frozen_learns_nothing_and_prequential_does() -> None:
    train = _clicks([row for row in _shop(200) if row[2][0] == "a"], "train")
    test = _clicks([row for row in _shop(200) if row[2][0] == "b"], "test")
    found = evaluate_next_item(train, test, baselines=("markov",))
    for judged in (found.scorer, found.baselines["markov"]):
        assert judged.frozen["hr_1"] == 0
        assert (judged.prequential["hr_1"] or 0) > 0.5


def test_the_same_seed_gives_the_same_figures() -> None:
    parts = _clicks(_shop(300), "train"), _clicks(_shop(30, 300), "test")
    one, two = (evaluate_next_item(*parts, seed=3, baselines=()).scorer for _ in range(2))
    timeless = FIGURES - {"microseconds_per_query", "microseconds_per_interaction"}
    assert all(one.prequential[name] == two.prequential[name] for name in timeless)


def test_the_command_prints_one_object_and_draws(tmp_path: Path) -> None:
    train = _write(tmp_path / "train.tsv.gz", "session_id\tpos\titem_id", list(_shop(80)))
    test = _write(tmp_path / "test.tsv", "session_id\tpos\titem_id", list(_shop(20, 80)))
    picture = tmp_path / "lists.svg"
    asked = ["evaluate", "next-item", str(train), str(test)]
    ended = CliRunner().invoke(app, [*asked, "--json", "--seed", "2", "--plot", str(picture)])
    assert ended.exit_code == 0, ended.output
    report = json.loads(ended.stdout)
    assert report["seed"] == 2
    assert report["scorer"]["frozen"].keys() == FIGURES
    assert report["baselines"]["markov"]["prequential"].keys() == FIGURES
    assert picture.read_bytes().startswith(b"<?xml")
    table = CliRunner().invoke(app, asked)
    assert table.exit_code == 0
    assert "crm-online" in table.stdout


@pytest.mark.parametrize(("name", "code"), [("absent.tsv", 2), ("bad.tsv", 1)])
def test_the_command_ends_with_a_code(tmp_path: Path, name: str, code: int) -> None:
    good = _write(tmp_path / "good.tsv", "session\torder\titem", list(_shop(3)))
    _write(tmp_path / "bad.tsv", "session\torder\titem", [("s", "?", "x")])
    ended = CliRunner().invoke(app, ["evaluate", "next-item", str(good), str(tmp_path / name)])
    assert ended.exit_code == code


def test_memory_is_that_of_the_model_however_small() -> None:
    small, large = (
        evaluate_next_item(_clicks(_shop(sessions), "train"), _clicks(_shop(9, 900), "test"))
        for sessions in (30, 900)
    )
    for before, after in (
        (small.scorer, large.scorer),
        *((small.baselines[name], large.baselines[name]) for name in BASELINES),
    ):
        assert 1_000 < before.memory_bytes < after.memory_bytes
    again = evaluate_next_item(_clicks(_shop(30), "train"), _clicks(_shop(9, 900), "test"))
    assert again.scorer.memory_bytes == small.scorer.memory_bytes


class _Slow:
    """Takes longer to answer the more it has learned."""

    def __init__(self) -> None:
        self._learned = 0

    def learn_many(self, clicks: Sequence[Interaction]) -> None:
        self._learned += len(clicks)

    def list_many(self, queries: Sequence[Query], k: int) -> list[list[str]]:
        del k
        sum(range(200 * self._learned))
        return [[] for _ in queries]

    def replay_many(self, clicks: Sequence[Interaction], k: int) -> list[list[str]]:
        self.learn_many(clicks)
        return self.list_many([Query("", 1)] * len(clicks), k)


def test_each_protocol_has_times_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BASELINES, "slow", _Slow)
    train, test = _clicks(_shop(50), "train"), _clicks(_shop(2_000), "test")
    slow = evaluate_next_item(train, test, baselines=("slow",)).baselines["slow"]
    frozen, learning_on = (
        protocol["microseconds_per_query"] or 0.0 for protocol in (slow.frozen, slow.prequential)
    )
    assert learning_on > 3 * frozen > 0


def test_sessions_of_one_click_leave_nothing_to_rate() -> None:
    train = _clicks(_shop(3), "train")
    singles = [row for row in _shop(4, 3) if row[1] == 0]
    with pytest.raises(ConfigurationError, match="no session of TEST has a second click"):
        evaluate_next_item(train, _clicks(singles, "test"))


def test_sessions_that_were_learned_are_told(tmp_path: Path) -> None:
    file = _write(tmp_path / "both.tsv", "session\torder\titem", _shop(6))
    found = CliRunner().invoke(app, ["evaluate", "next-item", str(file), str(file), "--json"])
    assert found.exit_code == 0, found.stderr
    assert "6 sessions of 6 in TEST stand in TRAIN, too" in found.stderr
