"""Public shop logs through the whole job: every event is scored, none is refused."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import orjson
import pytest

from crm_online.simulation.datasets import open_dataset
from streams.embedded import RealKafka, Valkey
from tests.streams.job import Tail, cached, job_settings, newest, send, until, working

pytestmark = [pytest.mark.real, pytest.mark.asyncio]
ROOT = Path(__file__).parents[2]
FOLDER = Path(os.environ.get("TEST_DATA_FOLDER") or ROOT.parent / "shared" / "data")


@pytest.mark.parametrize(
    ("file", "format_", "count", "customers"),
    [
        ("rees46_sample/rees46_2019-10-01_0000-0250.csv.gz", "rees46", 17_434, 4_504),
        pytest.param(
            "yoochoose_100k/clicks_by_time.tsv.gz",
            "clicks",
            83_846,
            21_210,
            marks=pytest.mark.long,
        ),
    ],
)
async def test_shop_logs_replay_without_a_dead_letter(
    app: str,
    real_kafka: RealKafka,
    valkey: Valkey,
    file: str,
    format_: str,
    count: int,
    customers: int,
) -> None:
    path = FOLDER / file
    if not path.is_file():
        pytest.skip(f"{path.name} is not there: set TEST_DATA_FOLDER to the folder of public data")
    settings = job_settings(app, real_kafka, valkey, max_batch=1000)
    nouns = ("state", "scores", "recommendations", "dead-letters")
    async with Tail(settings, *nouns) as tail, working(settings):
        await send(open_dataset(path, format_), settings, None)
        await tail.until_applied()
        await tail.read_all()
        last = newest(tail.records["scores"])

        async def same() -> bool:
            return await cached(settings, "scores", last) == last

        await until(same)
    assert tail.records["dead-letters"] == []
    causes = Counter(orjson.loads(record.value).get("cause") for record in tail.records["scores"])
    assert causes["event"] == count
    assert len(last) == customers
    assert len(newest(tail.records["recommendations"])) > customers / 2
