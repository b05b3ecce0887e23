"""Exports of a real cache: everybody once, in files that tools read."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner, Result

from crm_online.log import Message
from crm_online.scores import ItemReason, Recommendations, RecommendedItem, Source
from crm_online.settings import Settings
from crm_online.sinks.redis import CacheWriter, connect
from streams.cli import app
from streams.embedded import Valkey
from tests.acting import START, score


async def fill(settings: Settings) -> None:
    scores, lists = [], []
    for n in range(30):
        update = score(
            f"c-{n:02}",
            START,
            segment="champions" if n % 3 else "lost",
            churn_probability=n / 30,
            consent=None if n % 2 else ["ads", "marketing"],
            unsubscribed=n == 1,
        )
        scores.append(Message(update.customer_id.encode(), msgspec.json.encode(update)))
        items = [RecommendedItem(f"p-{i}", 1.0, ItemReason("trending", [], "liked")) for i in "ab"]
        listed = Recommendations("l", update.customer_id, update.at, Source(0, 0, n), items, "m")
        lists.append(Message(update.customer_id.encode(), msgspec.json.encode(listed)))
    async with connect(settings) as client:
        await CacheWriter(settings, client).write(scores, lists)


@pytest.fixture
def url(valkey: Valkey) -> str:
    asyncio.run(fill(Settings.model_validate({"redis": valkey.url})))
    return valkey.url


def export(url: str, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["export", *arguments, "--redis", url], env={"COLUMNS": "200"})


def rows(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.output
    return [*csv.DictReader(io.StringIO(result.stdout))]


def test_a_segment_as_csv_and_as_json_lines(url: str) -> None:
    found = rows(export(url, "segment", "champions"))
    assert sorted(row["customer_id"] for row in found) == [f"c-{n:02}" for n in range(30) if n % 3]
    assert {row["consent"] for row in found} == {"", "ads marketing"}
    assert [row["customer_id"] for row in found if row["unsubscribed"] == "True"] == ["c-01"]
    lines = export(url, "segment", "champions", "--format", "jsonl").stdout.splitlines()
    assert {json.loads(line)["customer_id"] for line in lines} == {r["customer_id"] for r in found}
    assert len(lines) == 20


def test_those_at_risk_come_likeliest_first(url: str) -> None:
    found = rows(export(url, "at-risk", "--limit", "5"))
    assert [row["customer_id"] for row in found] == [f"c-{n}" for n in range(29, 24, -1)]


def test_recommendations_have_a_row_for_each_item(url: str) -> None:
    found = rows(export(url, "recommendations", "--segment", "lost"))
    assert len(found) == 20
    assert [row["item_id"] for row in found[:2]] == ["p-a", "p-b"]
    assert [row["rank"] for row in found[:2]] == ["1", "2"]
    assert len(rows(export(url, "recommendations"))) == 60


def test_what_is_not_there_is_said(url: str, tmp_path: Any) -> None:
    assert export(url, "segment", "vip").exit_code == 2
    assert export(url, "segment", "hibernating").exit_code == 1
    file = tmp_path / "lost.csv"
    assert export(url, "segment", "lost", "--output", str(file)).exit_code == 0
    assert len(file.read_text(encoding="utf-8").splitlines()) == 11


def test_what_a_spreadsheet_would_run_is_text_to_it(url: str) -> None:
    formula = '=HYPERLINK("http://127.0.0.1","x")'
    update = score(formula, START, segment="promising", churn_probability=0.5, expected_value=-1.5)

    async def write() -> None:
        settings = Settings.model_validate({"redis": url})
        async with connect(settings) as client:
            message = Message(formula.encode(), msgspec.json.encode(update))
            await CacheWriter(settings, client).write([message])

    asyncio.run(write())
    (row,) = rows(export(url, "segment", "promising"))
    assert row["customer_id"] == f"'{formula}"
    assert row["expected_value"] == "-1.5"
    (line,) = export(url, "segment", "promising", "--format", "jsonl").stdout.splitlines()
    assert json.loads(line)["customer_id"] == formula
