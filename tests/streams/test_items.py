"""The catalogue on its topic: loaded whole or not at all, followed by scorers."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from crm_online.errors import CrmOnlineError
from crm_online.log import Message
from crm_online.settings import Settings
from streams.embedded import MockBroker, RealKafka, Valkey
from streams.feeding import partition_of
from streams.items.loading import load_items
from streams.items.showing import list_items, show_item
from streams.items.topic import read_items
from tests.builders import START, product_viewed
from tests.streams.job import PARTITIONS, Tail, declared_settings, working
from tests.streams.workers import append

CUSTOMERS = ("ann", "bob", "cid", "dan")


@pytest.fixture
def settings(app: str, broker: MockBroker | RealKafka, valkey: Valkey) -> Settings:
    return declared_settings(app, broker, valkey)


def file_of(folder: Path, *rows: str) -> Path:
    path = folder / "items.csv"
    path.write_text("\n".join(("id,name,price,available", *rows)) + "\n", encoding="utf-8")
    return path


def ends(settings: Settings) -> int:
    async def count() -> int:
        async with Tail(settings, "items") as tail:
            await tail.read_all()
            return len(tail.records["items"])

    return asyncio.run(count())


def figures(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_a_file_is_loaded_once_and_shown(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = file_of(tmp_path, "mug,Red mug,4.5,yes", "pot,Pot,,out of stock", "mug,Mug,5,yes")
    assert load_items(settings, file, json=True) == 0
    first = {"items": 2, "duplicates": 1, "unavailable": 1, "dry_run": False}
    assert figures(capsys) == first | {"new": 2, "changed": 0, "withdrawn": 0, "same": 0}
    load_items(settings, file, replace=True, json=True)
    assert figures(capsys) == first | {"new": 0, "changed": 0, "withdrawn": 0, "same": 2}
    assert ends(settings) == 2  # only what changed is written

    list_items(settings, unavailable=True, json=True)
    found = figures(capsys)
    assert (found["total"], found["unavailable"]) == (2, 1)
    assert [item["item_id"] for item in found["items"]] == ["pot"]
    assert show_item(settings, "mug", json=True) == 0
    assert figures(capsys)["name"] == "Mug"
    assert show_item(settings, "saw") == 1


def test_what_is_not_in_the_file_is_withdrawn_where_it_replaces(
    settings: Settings, tmp_path: Path
) -> None:
    load_items(settings, file_of(tmp_path, "mug,Mug,5,yes", "pot,Pot,7,yes", "gone,,,yes"))
    asyncio.run(append(settings, "items", 0, Message(b"gone", None), Message(b"bad", b"no json")))
    after = file_of(tmp_path, "mug,Mug,5.5,yes")
    load_items(settings, after)
    assert {i.item_id: i.available for i in asyncio.run(read_items(settings)).values()} == {
        "mug": True,
        "pot": True,
    }
    load_items(settings, after, replace=True)
    held = asyncio.run(read_items(settings))
    assert {name: (item.price, item.available) for name, item in held.items()} == {
        "mug": (5.5, True),
        "pot": (7.0, False),
    }


def test_a_wrong_row_or_none_or_a_trial_writes_nothing(settings: Settings, tmp_path: Path) -> None:
    load_items(settings, file_of(tmp_path, "mug,Mug,5,yes"))
    before = ends(settings)
    wrong = file_of(tmp_path, "pot,Pot,1,yes", "saw,Saw,cheap,yes")
    with pytest.raises(CrmOnlineError, match="line 3, price: 'cheap'"):
        load_items(settings, wrong, replace=True)
    with pytest.raises(CrmOnlineError, match="holds no item"):
        load_items(settings, file_of(tmp_path), replace=True)
    load_items(settings, file_of(tmp_path, "pot,Pot,1,yes"), dry_run=True)
    assert ends(settings) == before


class Shop:
    """Customers who look at items, and the lists that come of it."""

    def __init__(self, settings: Settings, tail: Tail) -> None:
        self._settings = settings
        self._tail = tail
        self._clock = START

    async def look(self, customer: str, item: str) -> list[str]:
        """Let a customer look at an item; returns the list that follows."""
        self._clock += 1.0
        seen = len(self._tail.records["recommendations"])
        message = Message(customer.encode(), product_viewed(item, customer, at=self._clock))
        place = partition_of(customer.encode(), PARTITIONS)
        await append(self._settings, "events", place, message)
        lists = self._tail.records["recommendations"]
        await self._tail.until(lambda: len(lists) > seen)
        return [each["item_id"] for each in json.loads(lists[-1].value)["items"]]


@pytest.mark.asyncio
async def test_scorers_follow_it(settings: Settings, tmp_path: Path) -> None:
    rows = [f"mug-{n},Red mug,5,yes" for n in range(3)] + ["pot,Pot,7,no"]
    await asyncio.to_thread(load_items, settings, file_of(tmp_path, *rows))
    async with (
        Tail(settings, "recommendations", "interactions") as tail,
        working(settings, ("score",)),
    ):
        shop = Shop(settings, tail)
        found = await shop.look("ann", "mug-0")
        assert {"mug-1", "mug-2"} <= set(found) <= {"mug-0", "mug-1", "mug-2"}  # nobody touched two
        for customer in CUSTOMERS:  # what everybody takes is in demand, and not to be had
            for item in ("pot", "mug-1"):
                assert "pot" not in await shop.look(customer, item)
        batches = [json.loads(record.value) for record in tail.records["interactions"]]
        assert all(each[-1] for batch in batches for each in batch["interactions"])

        rows[-1] = "pot,Pot,7,yes"
        await asyncio.to_thread(load_items, settings, file_of(tmp_path, *rows))
        async with asyncio.timeout(30):
            while "pot" not in await shop.look("eve", "mug-1"):
                pass
