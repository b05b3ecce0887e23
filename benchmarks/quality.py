"""Run all evaluations over a folder of public data, and write their tables into docs/quality.md.

    python benchmarks/quality.py DATA_FOLDER [churn] [value] [segments] [next-item] [drift]

What the folder does not hold is skipped by name, and its table stays as it is. Each table comes
from the JSON of one command, which stands above it; that of drifts from `drift_recovery.py`.
"""

from __future__ import annotations

import csv
import gzip
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, NamedTuple

__all__ = ["main"]

PAGE: Final = Path(__file__).parents[1] / "docs" / "quality.md"
RETAIL: Final = "online_retail/online_retail.csv.gz"
POPULATION: Final = ["--customers", "1500", "--days", "240", "--seed", "7"]

CHURN: Final = {
    "auc": ("AUC", 4),
    "log_loss": ("log loss", 4),
    "pr_auc": ("PR-AUC", 4),
    "brier": ("Brier", 4),
    "ece": ("ECE", 3),
    "ece_after_1000": ("ECE after 1,000", 3),
    "auc_after_1000": ("AUC after 1,000", 4),
    "log_loss_after_1000": ("log loss after 1,000", 4),
    "lift_10": ("lift", 2),
    "seconds": ("seconds", 1),
}
VALUE: Final = {
    "mae": ("MAE", 1),
    "spearman": ("Spearman", 3),
    "top_decile_share": ("top decile", 3),
    "sum_ratio": ("sum ratio", 2),
    "seconds": ("seconds", 1),
}
NEXT_ITEM: Final = {
    "hr_1": ("HR@1", 3),
    "hr_5": ("HR@5", 3),
    "hr_10": ("HR@10", 3),
    "hr_20": ("HR@20", 4),
    "mrr_20": ("MRR@20", 4),
    "ndcg_20": ("NDCG@20", 4),
    "microseconds_per_query": ("µs/query", 0),
    "microseconds_per_interaction": ("µs/click", 0),
}
Report = Mapping[str, Any]
Columns = Mapping[str, tuple[str, int]]


class Run(NamedTuple):
    """One command, the file it takes, and how its report becomes Markdown.

    Parameters
    ----------
    name
        Of the place in the page.
    kind
        Of evaluation.
    needs
        Files, below the folder of data; none for a generated population.
    flags
        Behind the files.
    write
        Turns the report into lines.
    """

    name: str
    kind: str
    needs: tuple[str, ...]
    flags: tuple[str, ...]
    write: Callable[[Report], Iterator[str]]


def models_table(report: Report, columns: Columns) -> Iterator[str]:
    """Write a model per row."""
    models = {"**crm-online**": report["scorer"], **report["baselines"]}
    yield "| | " + " | ".join(head for head, _ in columns.values()) + " |"
    yield "|---" * (len(columns) + 1) + "|"
    for name, figures in models.items():
        cells = [_shown(figures.get(key), decimals) for key, (_, decimals) in columns.items()]
        yield f"| {name.replace('_', ' ')} | " + " | ".join(cells) + " |"


def churn_lines(report: Report) -> Iterator[str]:
    """Write counts and figures of churn."""
    yield (
        f"{report['predictions']:,} predictions of {report['customers']:,} customers, "
        f"{report['churned']:,} churned; {report['unscored']:,} more were made before any outcome "
        f"was known, {report['late']:,} too late. The model run again alone said the same of "
        f"{report['reproduced']:,}."
    )
    yield ""
    yield from models_table(report, CHURN)


def value_lines(report: Report) -> Iterator[str]:
    """Write counts and figures of value."""
    yield (
        f"{report['predictions']:,} predictions, {report['spenders']:,} of customers who spent, "
        f"{report['spent'] / report['predictions']:,.2f} on average."
    )
    yield ""
    yield from models_table(report, VALUE)


def segment_lines(report: Report) -> Iterator[str]:
    """Write the segments, and how steady they are."""
    clusters = report["clusters"]
    yield (
        f"{report['customers']:,} customers, looked at every {report['sweep_days']:g} days: "
        f"{report['stability']:.1%} kept their segment from one look to the next. Silhouette of "
        f"the clusters {_shown(clusters['silhouette'], 3)}, of the named segments "
        f"{_shown(clusters['silhouette_of_segments'], 3)}."
    )
    yield ""
    yield "| | now | share | kept | settled | churned | spent |"
    yield "|---" * 7 + "|"
    for name, about in report["segments"].items():
        shares = [_shown(about[key], 3) for key in ("share", "stability")]
        worth = [f"{about['settled']:,}", _shown(about["churn"], 3), _shown(about["spend"], 0)]
        yield f"| {name} | {about['customers']:,} | " + " | ".join(shares + worth) + " |"


def next_item_lines(report: Report) -> Iterator[str]:
    """Write both protocols."""
    for protocol, title in (("frozen", "Frozen"), ("prequential", "Learning on")):
        others = {name: model[protocol] for name, model in report["baselines"].items()}
        yield f"{title}:"
        yield ""
        yield from models_table(
            {"scorer": report["scorer"][protocol], "baselines": others}, NEXT_ITEM
        )
        yield ""


_SHOP: Final = ("--format", "online-retail", "--horizon-days", "60")
RUNS: Final = (
    Run("churn-online-retail", "churn", (RETAIL,), (*_SHOP, "--baselines"), churn_lines),
    Run("churn-population", "churn", (), ("--baselines",), churn_lines),
    Run("value-online-retail", "value", (RETAIL,), (*_SHOP, "--baselines"), value_lines),
    Run("value-population", "value", (), ("--baselines",), value_lines),
    Run("segments-online-retail", "segments", (RETAIL,), _SHOP, segment_lines),
    Run(
        "next-item-diginetica",
        "next-item",
        ("diginetica/train.tsv.gz", "diginetica/test.tsv.gz"),
        (),
        next_item_lines,
    ),
    Run(
        "next-item-yoochoose",
        "next-item",
        ("yoochoose_100k/clicks_by_time.tsv.gz",),
        (),
        next_item_lines,
    ),
)


def main(arguments: Sequence[str]) -> None:
    """Run what was asked for, and say what was skipped."""
    if not arguments:
        raise SystemExit(__doc__)
    folder, kinds = Path(arguments[0]), set(arguments[1:])
    for run in RUNS:
        if kinds and run.kind not in kinds:
            continue
        missing = [name for name in run.needs if not (folder / name).is_file()]
        if missing:
            print(f"skipped {run.name}: no {folder / missing[0]}")
        else:
            print(f"running {run.name}", flush=True)
            _renew(run, folder)
    if not kinds or "drift" in kinds:
        print("running drift", flush=True)
        _write("drift", _output([str(Path(__file__).with_name("drift_recovery.py"))]).strip())


def _renew(run: Run, folder: Path) -> None:
    with _files(run, folder) as files:
        flags = [str(file) for file in files] + list(run.flags)
        done = _evaluate([run.kind, *flags, "--json"])
    shown = [file.name for file in files]
    command = shlex.join(["crm-online", "evaluate", run.kind, *shown, *run.flags])
    lines = "\n".join(run.write(json.loads(done.splitlines()[-1]))).strip()
    made = (
        "" if run.needs else f"    crm-online simulate {' '.join(POPULATION)} --output {shown[0]}\n"
    )
    _write(run.name, f"{made}    {command}\n\n{lines}")


def _write(name: str, text: str) -> None:
    """Replace what stands between the two comments that name a place."""
    page = PAGE.read_text(encoding="utf-8")
    begin, end = f"<!-- {name} -->\n", f"\n<!-- end of {name} -->"
    place = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    if not place.search(page):
        raise SystemExit(f"docs/quality.md has no place for {name}")
    PAGE.write_text(place.sub(lambda _: begin + text + end, page), encoding="utf-8")


@contextmanager
def _files(run: Run, folder: Path) -> Iterator[list[Path]]:
    with TemporaryDirectory() as scratch:
        if not run.needs:
            file = Path(scratch) / "events.jsonl"
            _crm_online(["simulate", *POPULATION, "--output", str(file)])
            yield [file]
        elif run.name == "next-item-yoochoose":
            yield _split(folder / run.needs[0], Path(scratch))
        else:
            yield [folder / name for name in run.needs]


def _split(file: Path, scratch: Path) -> list[Path]:
    """Write the two parts of the one file, as its column `split` names them."""
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines, delimiter="\t"))
    files = []
    for part, tests in (("train.tsv", False), ("test.tsv", True)):
        path = scratch / part
        with path.open("w", encoding="utf-8") as out:
            out.write("session\titem\ttime\n")
            for row in rows:
                if (row["split"] == "test") is tests:
                    out.write(f"{row['SessionId']}\t{row['ItemId']}\t{row['Time']}\n")
        files.append(path)
    return files


def _evaluate(arguments: list[str]) -> str:
    return _crm_online(["evaluate", *arguments])


def _crm_online(arguments: list[str]) -> str:
    return _output(["-m", "streams", *arguments])


def _output(arguments: list[str]) -> str:
    command = [sys.executable, *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout  # noqa: S603


def _shown(figure: float | None, decimals: int) -> str:
    return "–" if figure is None else f"{figure:,.{decimals}f}"


if __name__ == "__main__":
    main(sys.argv[1:])
