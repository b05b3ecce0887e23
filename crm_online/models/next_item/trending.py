"""Kernels: trending items, by sessions that touched them, decayed by clicks and not by clock."""

from __future__ import annotations

import math

from crm_online.models.compiling import compiled
from crm_online.models.next_item.layout import (
    CLICKS,
    LEADERS,
    LEADING,
    TREND,
    Float64,
    Index,
    Int32,
    Int64,
)

__all__ = ["count_trend"]

MEMORY = 20_000.0  # clicks after which a touch weighs 1/e


@compiled
def count_trend(item: int, index: Index) -> None:
    """Count one more session that touched an item, and keep the leaders in order.

    With weights exp(clicks / memory) that grow into the future instead of decaying into the
    past, an item's trend (the logarithm of its sum) stands still while nobody touches it, so
    one touch can only move that one item, and only forward.
    """
    row = index.statistics[item]
    weight = (index.clock[CLICKS] + 1) / MEMORY
    if row[TREND] == 0:
        row[TREND] = weight
    else:
        row[TREND] = weight + math.log1p(math.exp(row[TREND] - weight))
    _promote(item, index.leaders, index.leader_places, index.statistics, index.clock)


@compiled
def _entrance(item: int, leaders: Int32, places: Int32, statistics: Float64, clock: Int64) -> int:
    """Return the place from which an item may rise; -1 where it stays outside."""
    if places[item] > 0:
        return int(places[item] - 1)
    if clock[LEADING] < LEADERS:
        clock[LEADING] += 1
        return int(clock[LEADING] - 1)
    weakest = leaders[LEADERS - 1]
    if statistics[weakest, TREND] >= statistics[item, TREND]:
        return -1
    places[weakest] = 0
    return LEADERS - 1


@compiled
def _promote(item: int, leaders: Int32, places: Int32, statistics: Float64, clock: Int64) -> None:
    place = _entrance(item, leaders, places, statistics, clock)
    if place < 0:
        return
    while place > 0 and statistics[leaders[place - 1], TREND] < statistics[item, TREND]:
        leaders[place] = leaders[place - 1]
        places[leaders[place]] = place + 1
        place -= 1
    leaders[place] = item
    places[item] = place + 1
