"""`crm-online profile`: a file, a table, a topic; for people, for programs, as a page."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from crm_online.log import Message
from streams.embedded import MockBroker, RealKafka
from tests.builders import START, order_completed, product_viewed
from tests.streams.test_commands import run, written
from tests.streams.workers import append, counting_settings

LINES = [
    product_viewed("mug", "ann", at=START, message_id="1"),
    product_viewed("mug", "ann", at=START, message_id="1"),
    order_completed("mug", user="bob", at=START + 60, message_id="2", order_id="o"),
]


def test_a_file_is_profiled_for_people_programs_and_browsers(tmp_path: Path) -> None:
    file, html = written(tmp_path / "events.jsonl", LINES), tmp_path / "page.html"
    shown = run("profile", str(file), "--html", str(html))
    assert shown.exit_code == 0, shown.output
    for words in ("3 events of 3 records", "Product Viewed", "properties.price", "messageId"):
        assert words in shown.output
    text = html.read_text(encoding="utf-8")
    assert "33.3% of the events repeat a messageId" in text
    assert "http" not in text.replace("http-equiv", "")
    found = json.loads(run("profile", str(file), "--json").stdout)
    assert (found["events"], found["same_id"], found["orders"]["orders"]) == (3, 1, 1)


def test_a_table_is_profiled_by_its_columns(tmp_path: Path) -> None:
    table = tmp_path / "sales.csv"
    table.write_text("who,day,paid\nann,2026-03-01,5\nbob,2026-03-02,7.5\n", encoding="utf-8")
    options = ("--format", "csv", "--customer", "who", "--at", "day", "--amount", "paid")
    found = json.loads(run("profile", str(table), *options, "--json").stdout)
    assert found["customers"]["count"] == 2
    assert found["orders"]["currencies"][0]["revenue"] == 12.5


@pytest.mark.parametrize("arguments", [(), ("x.jsonl", "--topic")])
def test_either_a_file_or_the_topic_is_named(arguments: tuple[str, ...]) -> None:
    refused = run("profile", *arguments)
    assert refused.exit_code == 2
    assert "--topic" in refused.output


def test_a_file_without_events_and_a_page_without_a_folder_are_told(tmp_path: Path) -> None:
    empty = written(tmp_path / "empty.jsonl", [])
    assert run("profile", str(empty)).exit_code == 1
    file = written(tmp_path / "events.jsonl", LINES)
    refused = run("profile", str(file), "--html", str(tmp_path / "no" / "page.html"))
    assert refused.exit_code == 2
    assert "page.html" in refused.output


async def _fill(app: str, broker: MockBroker | RealKafka) -> dict[str, str]:
    settings = counting_settings(app, broker.address)
    broker.create_topics({settings.topic("events"): settings.partitions})
    for n, line in enumerate(LINES):
        await append(settings, "events", n % 2, Message(b"ann", line))
    await append(settings, "events", 0, Message(b"\0tick", b"{}", [("ce_type", b"crm.tick")]))
    return {"CRM_KAFKA": broker.address, "CRM_APP": app}


@pytest.mark.asyncio
async def test_the_topic_is_read_to_its_end_without_what_the_job_wrote_there(
    app: str, broker: MockBroker | RealKafka
) -> None:
    environment = await _fill(app, broker)
    shown = await asyncio.to_thread(run, "profile", "--topic", "--json", **environment)
    assert shown.exit_code == 0, shown.output
    found = json.loads(shown.stdout)
    assert (found["records"], found["events"], found["same_id"]) == (3, 3, 1)
