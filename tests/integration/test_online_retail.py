"""Online Retail through a real Kafka: equal to pandas, and to the same scoring without Kafka."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from streams.embedded import RealKafka, Valkey
from tests.integration.retail import (
    LABELS,
    offline_settled,
    read_events,
    replay,
    sums_by_pandas,
)
from tests.streams.job import job_settings

pytestmark = [pytest.mark.real, pytest.mark.asyncio]
ROOT = Path(__file__).parents[2]
FOLDER = Path(os.environ.get("TEST_DATA_FOLDER") or ROOT.parent / "shared" / "data")
RETAIL = FOLDER / "online_retail" / "online_retail.csv.gz"


@pytest.mark.parametrize(
    ("days", "horizon_days", "least"),
    [
        pytest.param(61.0, 14.0, 2_000, id="two-months"),
        pytest.param(
            None, 60.0, 90_000, id="all", marks=[pytest.mark.long, pytest.mark.timeout(900)]
        ),
    ],
)
async def test_online_retail_is_scored_exactly(
    app: str,
    real_kafka: RealKafka,
    valkey: Valkey,
    days: float | None,
    horizon_days: float,
    least: int,
) -> None:
    if not RETAIL.is_file():
        pytest.skip(
            f"{RETAIL.name} is not there: set TEST_DATA_FOLDER to the folder of public data"
        )
    settings = job_settings(
        app,
        real_kafka,
        valkey,
        partitions=8,
        horizon_days=horizon_days,
        min_outcomes=50,
        max_batch=2000,
    )
    events = read_events(RETAIL, days)
    run = await replay(events, settings)
    assert run.sums == sums_by_pandas(RETAIL, days)
    assert run.cached == run.scores
    assert run.cached.keys() == {event.customer for event in events}
    assert run.dead_letters == 0
    found, expected = labels(run.settled), labels(offline_settled(events, settings))
    assert len(found) == len(run.settled) > least
    assert found == expected


def labels(settled: Iterable[Any]) -> dict[str, tuple[Any, ...]]:
    return {o["prediction_id"]: tuple(o[name] for name in LABELS) for o in settled}
