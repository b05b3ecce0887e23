"""Public files, where they are at hand: counts equal an independent reading in pandas."""

from __future__ import annotations

import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from crm_online.events import parse_event
from crm_online.simulation.datasets import Dataset, open_dataset
from crm_online.simulation.raw import RawEvent

ROOT = Path(__file__).parents[3]
FOLDER = Path(os.environ.get("TEST_DATA_FOLDER") or ROOT.parent / "shared" / "data")
RETAIL = FOLDER / "online_retail" / "online_retail.csv.gz"
REES46 = FOLDER / "rees46_sample" / "rees46_2019-10-01_0000-0250.csv.gz"
CLICKS = FOLDER / "yoochoose_100k" / "clicks_by_time.tsv.gz"


def opened(path: Path, name: str) -> Dataset:
    if not path.is_file():
        pytest.skip(f"{path.name} is not there: set TEST_DATA_FOLDER to the folder of public data")
    return open_dataset(path, name)


def test_online_retail_equals_pandas() -> None:
    pandas = pytest.importorskip("pandas")
    dataset = opened(RETAIL, "online-retail")
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    money: defaultdict[str, Decimal] = defaultdict(Decimal)
    last = 0.0
    for event in dataset:
        assert event.at >= last
        last = event.at
        body = json.loads(event.value, parse_float=Decimal)
        counts[body["event"]][event.customer] += 1
        money[body["event"]] += body["properties"]["total"]
        assert parse_event(event.value, event.at, 32768, 300.0).at == event.at
    assert (dataset.report.rows, dataset.report.skipped) == (541_909, {"no-customer": 135_080})

    table = pandas.read_csv(RETAIL, dtype=str).dropna(subset="CustomerID")
    cancelled = table["InvoiceNo"].str.startswith("C")
    # Prices have at most three decimals: thousandths are exact integers.
    value = table["Quantity"].astype(int) * (table["UnitPrice"].astype(float) * 1000).round()
    for name, rows, sign in (("Order Completed", ~cancelled, 1), ("Order Refunded", cancelled, -1)):
        invoices = table[rows].groupby("CustomerID")["InvoiceNo"].nunique()
        assert counts[name] == invoices.to_dict()
        assert money[name] * 1000 == sign * int(value[rows].sum())
    assert dataset.report.events == table["InvoiceNo"].nunique() == 22_190


def test_what_is_odd_in_online_retail_is_counted_as_it_is_known() -> None:
    dataset = opened(RETAIL, "online-retail")
    dataset.take_notes()
    for _ in dataset:
        pass
    noticed = dict(dataset.report.noticed)
    kinds = {what: noticed.pop(what) for what in list(noticed) if what.startswith("no product")}
    assert dataset.report.skipped == {"no-customer": 135_080}
    assert noticed == {
        "cancellation": 9_288,
        "quantity below zero": 10_624,
        "price not positive": 2_517,
        "repeats a row": 5_268,
        "item ids": 4_070,
        "item ids, capitals aside": 3_958,
    }
    known = ("POST", "D", "M", "DOT", "BANK CHARGES", "AMAZONFEE", "CRUK", "S", "B", "C", "PADS")
    assert {f"no product: {code}" for code in (*known, "GIFT", "DCGS")} <= kinds.keys()


@pytest.mark.parametrize(
    ("path", "name", "events", "customers"),
    [(REES46, "rees46", 17_434, 4_504), (CLICKS, "clicks", 83_846, 21_210)],
)
def test_shop_logs_are_accepted_in_full(path: Path, name: str, events: int, customers: int) -> None:
    dataset = opened(path, name)
    seen = {event.customer for event in _accepted(dataset)}
    assert (dataset.report.events, dataset.report.skipped) == (events, {})
    assert len(seen) == customers


def _accepted(dataset: Dataset) -> Iterator[RawEvent]:
    for event in dataset:
        read = parse_event(event.value, event.at, 32768, 300.0)
        assert (read.at, read.customer) == (event.at, event.customer)
        yield event
