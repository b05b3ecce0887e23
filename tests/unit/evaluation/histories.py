"""A generated shop's history, as events, as a table, and replayed."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from crm_online.evaluation.gathering import Gathering
from crm_online.evaluation.replaying import replayed
from crm_online.settings import Settings
from crm_online.simulation.population import Population
from crm_online.simulation.population_settings import PopulationSettings
from crm_online.simulation.raw import RawEvent
from crm_online.simulation.replay import plan_replay

__all__ = ["DAY", "SETTINGS", "history", "replay", "write_table"]

DAY = 86_400.0
SETTINGS = Settings(horizon_days=7, prediction_interval_days=3.5, min_outcomes=10, max_batch=100)


@cache
def history(customers: int = 30, days: float = 40.0) -> tuple[RawEvent, ...]:
    """Return the events of a small shop in order of time."""
    shop = PopulationSettings(customers=customers, days=days, seed=5, initial_share=0.7)
    return tuple(sorted(Population(shop).events(), key=lambda event: event.at))


def replay(events: Sequence[RawEvent], settings: Settings = SETTINGS) -> Gathering:
    """Replay events as `crm-online evaluate` does."""
    return replayed(plan_replay(events, DAY), settings)


def write_table(path: Path, events: Sequence[RawEvent]) -> Path:
    """Write events as any shop's table: client, day, item, paid, what."""
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["client", "day", "item", "paid", "what"])
        for event in events:
            body = json.loads(event.value)
            about = body.get("properties", {})
            item = about.get("product_id", "")
            paid = about.get("total", "") if body.get("event") == "Order Completed" else ""
            table.writerow([event.customer, event.at, item, paid, body.get("event", "visit")])
    return path
