"""All of Online Retail through a real worker, beside what pandas and the offline run say."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from typing import Any

import orjson
import pandas as pd  # type: ignore[import-untyped, unused-ignore]

from crm_online.settings import Settings
from crm_online.simulation.datasets import open_dataset
from crm_online.simulation.offline import score_history
from crm_online.simulation.raw import RawEvent
from crm_online.simulation.replay import plan_replay
from tests.streams.job import Tail, cached, newest, send, until, working

__all__ = ["LABELS", "RetailRun", "offline_settled", "read_events", "replay", "sums_by_pandas"]

DAY = 86_400.0
LABELS = ("customer_id", "opened_at", "due_at", "churned", "spend", "features")


@dataclass
class RetailRun:
    """What a replay left on the topics and in the cache.

    Parameters
    ----------
    seconds
        From the first event sent to the last applied.
    scores, cached
        Last score of each customer, from the topic and from the cache.
    settled
        Settled outcomes, in log order.
    updates, dead_letters
        Counts of records.
    """

    seconds: float
    scores: dict[str, Any]
    cached: dict[str, Any]
    settled: list[Any]
    updates: int
    dead_letters: int

    @property
    def sums(self) -> dict[str, tuple[int, Decimal, Decimal]]:
        """Orders, spend and refunds of each customer."""
        return {
            customer: (score["orders"], _cents(score["spend"]), _cents(score["refunds"]))
            for customer, score in self.scores.items()
        }


class LastScores(Tail):
    """Keeps the last score of each customer, and counts them all: they are many."""

    updates = 0
    _kept = 0

    async def read(self) -> None:
        """Take what has come."""
        await super().read()
        found = self.records["scores"]
        last = {record.key: record for record in found}
        self.updates += len(found) - self._kept
        self._kept = len(last)
        self.records["scores"] = list(last.values())


def read_events(path: Path, days: float | None = None) -> list[RawEvent]:
    """Read the events of the first days, or all."""
    events = list(open_dataset(path, "online-retail"))
    return [e for e in events if days is None or e.at < events[0].at + days * DAY]


async def replay(events: Sequence[RawEvent], settings: Settings) -> RetailRun:
    """Replay events through a worker with all roles, one day ahead at most."""
    async with working(settings):
        began = time.perf_counter()
        await send(events, settings, 1.0)
        async with Tail(settings, "state") as state:
            await state.until_applied()
        seconds = time.perf_counter() - began
        async with LastScores(settings, "scores", "outcomes", "dead-letters") as tail:
            await tail.read_all()
        last = newest(tail.records["scores"])

        async def same() -> bool:
            return await cached(settings, "scores", last) == last

        await until(same, 120.0)
        found = await cached(settings, "scores", {event.customer for event in events})
    return RetailRun(
        seconds,
        {customer: orjson.loads(value) for customer, value in last.items()},
        {customer: orjson.loads(value) for customer, value in found.items()},
        list(_settled(tail.records["outcomes"])),
        tail.updates,
        len(tail.records["dead-letters"]),
    )


def offline_settled(events: Sequence[RawEvent], settings: Settings) -> list[Any]:
    """Return what ``crm-online score --outcomes`` prints."""
    return [
        outcome
        for effects in score_history(plan_replay(events, DAY), settings)
        for outcome in _settled(effects.outputs.get("outcomes", ()))
    ]


def sums_by_pandas(
    path: Path, days: float | None = None
) -> dict[str, tuple[int, Decimal, Decimal]]:
    """Compute orders, spend and refunds of each customer from the invoice lines."""
    table = pd.read_csv(path, dtype=str).dropna(subset="CustomerID")
    table["at"] = pd.to_datetime(table["InvoiceDate"])
    # Prices have at most three decimals: thousandths are exact integers.
    thousandths = (table["UnitPrice"].astype(float) * 1000).round().astype(int)
    table["value"] = table["Quantity"].astype(int) * thousandths
    invoices = table.groupby("InvoiceNo").agg(
        customer=("CustomerID", "first"), at=("at", "first"), value=("value", "sum")
    )
    if days is not None:
        invoices = invoices[invoices["at"] < table["at"].min() + pd.Timedelta(days=days)]
    sums: dict[str, tuple[int, Decimal, Decimal]] = {}
    for number, row in zip(invoices.index, invoices.itertuples(), strict=True):
        orders, spend, refunds = sums.get(row.customer, (0, Decimal(0), Decimal(0)))
        worth = _cents(Decimal(int(row.value)) / 1000)
        if number.startswith("C"):
            sums[row.customer] = orders, spend, refunds - worth
        else:
            sums[row.customer] = orders + 1, spend + worth, refunds
    return sums


def _cents(amount: Decimal | float) -> Decimal:
    exact = amount if isinstance(amount, Decimal) else Decimal(repr(amount))
    return exact.quantize(Decimal("0.01"), ROUND_HALF_EVEN)


def _settled(records: Any) -> Iterator[Any]:
    for record in records:
        outcome = orjson.loads(record.value)
        if outcome["kind"] == "settled":
            yield outcome
