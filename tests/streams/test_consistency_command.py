"""`crm-online features` and `consistency`: the same features online and offline."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

from crm_online.customers.features import FEATURES
from crm_online.log import Message
from crm_online.settings import Settings
from streams.embedded import MockBroker, RealKafka, Valkey
from streams.verify.workers import variables
from tests.builders import START, order_completed, page, product_viewed
from tests.streams.job import Tail, job_settings, population, send, working
from tests.streams.test_commands import run, written
from tests.streams.workers import append

LINES = [
    page("ann", at=START, message_id="1"),
    page("ann", at=START, message_id="1"),
    product_viewed("mug", "ann", at=START + 60, message_id="2"),
    order_completed("mug", user="bob", at=START + 120, message_id="3", order_id="o"),
]


def test_a_file_gives_a_row_for_each_score(tmp_path: Path) -> None:
    file, out = written(tmp_path / "events.jsonl", LINES), tmp_path / "features.parquet"
    shown = run("features", str(file), "--output", str(out), "--json")
    assert shown.exit_code == 0, shown.output
    assert json.loads(shown.stdout)["rows"] == 3
    rows = parquet.read_table(out).to_pylist()
    assert [row["customer_id"] for row in rows] == ["ann", "ann", "bob"]
    assert [row["event"] for row in rows] == ["page", "Product Viewed", "Order Completed"]
    assert rows[0].keys() >= {*FEATURES, "recency_days", "frequency", "monetary"}
    assert [row["offset"] for row in rows] == [0, 2, 3]
    scored = [json.loads(line) for line in run("score", str(file)).stdout.splitlines()]
    assert [row["score_id"] for row in rows] == [each["score_id"] for each in scored]


def test_what_cannot_be_read_or_written_is_told(tmp_path: Path) -> None:
    file = written(tmp_path / "events.jsonl", LINES)
    out = tmp_path / "features.parquet"
    assert run("features", "--output", str(out)).exit_code == 2
    refused = run("features", str(file), "--output", str(tmp_path / "no" / "f.parquet"))
    assert (refused.exit_code, "f.parquet" in refused.output) == (2, True)
    assert run("features", str(written(tmp_path / "no.jsonl", [])), "--output", str(out)).exit_code


async def compared(settings: Settings) -> tuple[int, Any]:
    environment = dict(variables(settings))
    shown = await asyncio.to_thread(run, "consistency", "--json", **environment)
    return shown.exit_code, json.loads(shown.stdout)


@pytest.mark.asyncio
async def test_what_a_job_published_is_consistent_and_a_planted_difference_is_found(
    app: str, broker: MockBroker | RealKafka, valkey: Valkey, tmp_path: Path
) -> None:
    settings = job_settings(app, broker, valkey)
    async with Tail(settings, "state", "scores", "outcomes", "interactions", "models") as tail:
        async with working(settings, ["score", "learn"]):
            await send(population(), settings)
            await tail.until_applied()
            await tail.until_learned()
        await tail.read_all()
    code, found = await compared(settings)
    assert (code, found["consistent"], found["differences"]) == (0, True, [])
    scores = [r for r in tail.records["scores"] if is_score(r)]
    assert found["scores"]["compared"] == len(scores)
    assert found["predictions"]["compared"] > 20
    out = tmp_path / "features.parquet"
    wrote = await asyncio.to_thread(
        run, "features", "--topic", "--output", str(out), **dict(variables(settings))
    )
    assert wrote.exit_code == 0, wrote.output
    published = {json.loads(record.value)["score_id"] for record in scores}
    assert set(parquet.read_table(out)["score_id"].to_pylist()) == published
    for score, field, value in (
        (scores[7], "orders", 99),
        (next(r for r in scores if b'"feature"' in r.value), "churn_reasons", None),
    ):
        planted = json.loads(score.value)
        if value is None:
            planted[field][0]["value"] += 0.001
        else:
            planted[field] = value
        message = Message(score.key, json.dumps(planted).encode(), score.headers)
        await append(settings, "scores", score.partition, message)
    code, found = await compared(settings)
    assert (code, found["consistent"], found["scores"]["different"]) == (1, False, 2)
    assert any("orders 99 for" in each for each in found["differences"])


def is_score(record: Any) -> bool:
    """Tell whether a record of the topic is a score, and no tick."""
    return record.value is not None and ("ce_type", b"crm.score.updated") in record.headers
