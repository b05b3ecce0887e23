"""Partitions that were added: who moves, who stays, and who cannot be taken along."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count

import pytest

from crm_online.customers.partition import Partition
from crm_online.customers.state import CustomerState
from crm_online.customers.store import encode_state
from crm_online.errors import ConfigurationError
from crm_online.log import Message, Origin
from crm_online.settings import Settings
from streams.feeding import partition_of
from streams.upkeep.growing import BEGINNING, Growth, _count
from streams.upkeep.scanning import Scan
from streams.upkeep.standing import Models, Standing
from streams.upkeep.work import Work

pytestmark = pytest.mark.asyncio
FORMER, NOW, EPOCH = 2, 4, 1


class Shelves(Scan):
    """The state topic as it stands, without a broker: customers in partitions, with their place."""

    def __init__(self, held: Mapping[tuple[str, int], tuple[int, float]]) -> None:
        super().__init__(Settings(), Work())
        self._held = held

    async def bounds(self, noun: str, partitions: int) -> dict[int, tuple[int, int]]:
        return dict.fromkeys(range(partitions), (0, 1))

    async def partition(
        self, number: int, bounds: tuple[int, int], word: str, noun: str = "state"
    ) -> tuple[Partition, list[Message]]:
        found = Partition(number)
        found.store.save(
            {
                customer: encode_state(CustomerState(epoch=epoch, as_of=as_of))
                for (customer, at), (epoch, as_of) in self._held.items()
                if at == number
            }
        )
        return found, []


def whose(before: int, now: int) -> str:
    """Find a customer whom our partitioner has moved from one partition to another."""
    return next(
        name
        for name in (f"c{n}" for n in count())
        if partition_of(name.encode(), FORMER) == before and partition_of(name.encode(), NOW) == now
    )


async def counted(*held: tuple[str, int], place: tuple[int, float] = (0, 5.0)) -> Growth:
    standing = Standing(Origin("crm.events", "", NOW), {}, NOW, {}, {}, Models({}, set(), 0), {})
    growth = Growth(standing, FORMER, NOW, EPOCH, frozenset(), {}, {})
    await _count(growth, Shelves(dict.fromkeys(held, (0, 5.0)) | {held[-1]: place}))
    return growth


async def test_one_who_belongs_elsewhere_moves_and_one_who_does_not_stays() -> None:
    growth = await counted((whose(0, 2), 0), (whose(1, 1), 1))
    assert (growth.moving, growth.strays) == (1, 0)


async def test_a_stray_stays_also_where_the_customer_stands_at_home_and_moves() -> None:
    mover = whose(0, 2)
    growth = await counted((mover, 0), (mover, 1))
    assert (growth.moving, growth.strays) == (1, 1)
    (*_, stray) = growth.sentences(Settings())
    assert stray.startswith("1 customer stays where they are")


async def test_one_who_stands_where_they_would_move_to_cannot_be_taken_along() -> None:
    mover = whose(0, 2)
    with pytest.raises(ConfigurationError, match=r"1 customer of crm\.events stands both"):
        await counted((mover, 0), (mover, 2))


async def test_one_whom_an_interrupted_run_moved_is_no_conflict() -> None:
    mover = whose(0, 2)
    growth = await counted((mover, 0), (mover, 2), place=(EPOCH, BEGINNING))
    assert growth.moving == 1
