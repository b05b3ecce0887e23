"""Which offsets of watched partitions our own deliveries took; all others are someone else's."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any

__all__ = ["Deliveries", "Place"]

Place = tuple[str, int]


class Deliveries:
    """Keeps the ranges of offsets that we wrote, for the topics and partitions that are watched.

    Examples
    --------
    >>> ours = Deliveries()
    >>> ours.watch([("crm.state", 0)])
    >>> ours.add(("crm.state", 0), 10, 5)
    >>> ours.add(("crm.state", 0), 17, 3)
    >>> ours.foreign(("crm.state", 0), 8, 21)
    [(8, 10), (15, 17), (20, 21)]
    """

    def __init__(self) -> None:
        self._ours: dict[Place, list[tuple[int, int]]] = {}
        self._under_way: dict[Place, set[asyncio.Future[Any]]] = {}

    def watch(self, places: Collection[Place]) -> None:
        """Keep ranges of these places from now on, and of no others."""
        self._ours = {place: self._ours.get(place, []) for place in places}
        self._under_way = {place: self._under_way.get(place, set()) for place in places}

    def begin(self, place: Place, delivery: asyncio.Future[Any]) -> None:
        """Take note of a delivery that is under way."""
        pending = self._under_way.get(place)
        if pending is not None:
            pending.add(delivery)
            delivery.add_done_callback(pending.discard)

    def add(self, place: Place, first: int, count: int) -> None:
        """Take note of a delivery: its first offset, and how many records it had.

        A broker that recognises a repeated batch may not tell where the first one stands (-1).
        """
        ranges = self._ours.get(place)
        if ranges is None or first < 0:
            return
        if ranges and ranges[-1][1] == first:
            ranges[-1] = (ranges[-1][0], first + count)
        else:
            ranges.append((first, first + count))

    async def settle(self) -> None:
        """Return when all that is under way now is delivered or has failed."""
        pending = set().union(*self._under_way.values())
        if pending:
            await asyncio.wait(pending)

    def foreign(self, place: Place, start: int, end: int) -> list[tuple[int, int]]:
        """Return the ranges from `start` up to `end` that others wrote.

        Parameters
        ----------
        place
            A topic and a partition that are watched.
        start, end
            Offsets; `end` is not included.
        """
        found, at = [], start
        for first, behind in sorted(self._ours.get(place, ())):
            if first >= end:
                break
            if at < first:
                found.append((at, first))
            at = max(at, behind)
        if at < end:
            found.append((at, end))
        return found

    def pass_over(self, place: Place, end: int) -> None:
        """Forget what is below an offset."""
        self._ours[place] = [each for each in self._ours.get(place, ()) if each[1] > end]
