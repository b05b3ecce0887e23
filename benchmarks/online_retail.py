"""Online Retail through a real Kafka, 8 partitions: exactness, speed and prequential quality.

    python benchmarks/online_retail.py DATA_FOLDER [--json]

All events are replayed at full speed, one day of event time ahead at most, through a worker with
all roles. Quality is that of the published predictions, each made before its label existed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import uvloop
from pydantic import SecretStr

from crm_online.monitoring.figures import auc, log_loss, spearman
from crm_online.settings import Settings
from crm_online.simulation.raw import RawEvent
from streams.embedded import RealKafka, Valkey
from tests.integration.retail import (
    LABELS,
    RetailRun,
    offline_settled,
    read_events,
    replay,
    sums_by_pandas,
)

__all__ = ["main"]

HORIZON_DAYS = 60.0
TOP_SHARE = 0.1


def churn_figures(settled: Sequence[Any]) -> dict[str, Any]:
    """Return quality of churn predictions that were published before their label."""
    scored = [o for o in settled if not o["late"] and o["churn_probability"] is not None]
    labels = [o["churned"] for o in scored]
    chances = [o["churn_probability"] for o in scored]
    return {
        "settled": len(settled),
        "late": sum(o["late"] for o in settled),
        "scored": len(scored),
        "churn_rate": float(np.mean(labels)),
        "auc": auc(labels, chances),
        "log_loss": log_loss(labels, chances),
    }


def value_figures(settled: Sequence[Any]) -> dict[str, Any]:
    """Return quality of value predictions that were published before their label."""
    valued = [o for o in settled if not o["late"] and o["expected_value"] is not None]
    expected = np.array([o["expected_value"] for o in valued])
    spent = np.array([o["spend"] for o in valued])
    top = np.argsort(-expected, kind="stable")[: int(TOP_SHARE * len(valued))]
    return {
        "valued": len(valued),
        "value_mae": float(np.abs(expected - spent).mean()),
        "value_spearman": spearman(expected, spent),
        "value_top_decile_share": float(spent[top].sum() / spent.sum()),
        "value_sum_ratio": float(expected.sum() / spent.sum()),
    }


def comparisons(
    run: RetailRun, events: Sequence[RawEvent], path: Path, settings: Settings
) -> dict[str, Any]:
    """Count what equals pandas, the offline run and the cache, and what does not."""
    sums, by_pandas = run.sums, sums_by_pandas(path)
    found, offline = (
        {o["prediction_id"]: tuple(o[name] for name in LABELS) for o in settled}
        for settled in (run.settled, offline_settled(events, settings))
    )
    customers = {event.customer for event in events}
    return {
        "customers": len(customers),
        "customers_equal_to_pandas": sum(sums.get(c) == by_pandas.get(c) for c in customers),
        "customers_equal_in_redis": sum(
            c in run.scores and run.cached.get(c) == run.scores[c] for c in customers
        ),
        "outcomes_offline": len(offline),
        "outcomes_equal_to_offline": sum(found.get(key) == o for key, o in offline.items()),
        "outcomes_not_offline": len(found.keys() - offline.keys()),
        "dead_letters": run.dead_letters,
    }


async def measure(folder: Path) -> dict[str, Any]:
    """Replay, compare, and return all figures by name."""
    path = folder / "online_retail" / "online_retail.csv.gz"
    events = read_events(path)
    with RealKafka() as kafka, Valkey() as valkey:
        settings = Settings(
            app="bench",
            kafka=kafka.address,
            redis=SecretStr(valkey.url),
            horizon_days=HORIZON_DAYS,
        )
        run = await replay(events, settings)
    figures = {
        "events": len(events),
        "score_updates": run.updates,
        "seconds": run.seconds,
        "events_per_second": len(events) / run.seconds,
        "score_updates_per_second": run.updates / run.seconds,
    }
    figures |= comparisons(run, events, path, settings)
    return figures | churn_figures(run.settled) | value_figures(run.settled)


def main(arguments: Sequence[str]) -> None:
    """Print the figures as a table, or as JSON."""
    folders = [argument for argument in arguments if not argument.startswith("-")]
    if len(folders) != 1:
        raise SystemExit(__doc__)
    figures = uvloop.run(measure(Path(folders[0])))
    if "--json" in arguments:
        print(json.dumps(figures))
        return
    print("| figure | value |\n|---|---|")
    for name, value in figures.items():
        text = f"{value:,.4f}" if isinstance(value, float) else f"{value:,}"
        print(f"| {name.replace('_', ' ')} | {text} |")


if __name__ == "__main__":
    main(sys.argv[1:])
