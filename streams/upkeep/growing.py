"""Partitions that were added: customers move to where their events go now, and so do events.

Events that stand on the log unapplied are appended again, in the order they came, each where it
belongs now; each partition's own record calls everything before them applied.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from math import gcd
from typing import TYPE_CHECKING, Final

import msgspec

from crm_online.customers.partition import tombstone
from crm_online.customers.progress import Progress, next_epoch, progress_message
from crm_online.customers.store import moved, peek
from crm_online.errors import ConfigurationError
from crm_online.log import Message
from streams.exits import counted
from streams.feeding import partition_of
from streams.upkeep.appending import Begun, append_again, begun_message, copied
from streams.upkeep.scanning import Scan

if TYPE_CHECKING:
    from crm_online.settings import Settings
    from streams.upkeep.standing import Standing
    from streams.upkeep.work import Work
    from streams.upkeep.writing import Writer

__all__ = ["Growth", "grow", "survey"]

BEGINNING: Final = -1.0  # as_of of who moved: before any record of the new epoch


@dataclass(slots=True)
class Growth:
    """What added partitions bring about.

    Parameters
    ----------
    standing
        Of the job.
    former, partitions
        How many partitions the events had, and have.
    epoch
        The one to come.
    pending
        Partitions that were not dealt with before.
    ends
        Partition to where its events ended when this began.
    tails
        Partition to the span of its events that are not applied.
    moving
        How many customers move.
    strays
        How many stand elsewhere than our partitioner puts them: they stay.
    """

    standing: Standing
    former: int
    partitions: int
    epoch: int
    pending: frozenset[int]
    ends: dict[int, int]
    tails: dict[int, tuple[int, int]]
    moving: int = 0
    strays: int = 0

    @property
    def unapplied(self) -> int:
        """How many records are to be appended again, ticks among them."""
        return sum(max(end - start, 0) for start, end in self.tails.values())

    @property
    def behind(self) -> dict[int, tuple[int, int]]:
        """Partition to the span of what came since this began."""
        bounds = self.standing.bounds
        return {p: (end, bounds[p][1]) for p, end in self.ends.items()}

    def home(self, key: bytes, partition: int) -> int:
        """Return where what stands in a partition under a key belongs now.

        What our partitioner did not put there stays: we do not know who did, and why.
        """
        if partition < self.former and partition_of(key, self.former) == partition:
            return partition_of(key, self.partitions)
        return partition

    def sentences(self, settings: Settings) -> Iterator[str]:
        """Say what will be done."""
        events = settings.topic("events")
        yield (
            f"{events} has {self.partitions} partitions and the state was made from {self.former}: "
            f"the other topics get as many, {counted(self.moving, 'customer')} will move, and "
            f"{counted(self.unapplied, 'event')} not yet applied will be appended again behind the "
            "present end (hold back producers meanwhile)"
        )
        if self.strays:
            stay = "stays" if self.strays == 1 else "stay"
            yield (
                f"{counted(self.strays, 'customer')} {stay} where they are: their events' producer "
                "uses another partitioner than murmur2"
            )


async def survey(
    standing: Standing, records: Mapping[int, Progress], anew: Collection[int], scan: Scan
) -> Growth | None:
    """Find out whether partitions were added, and what that brings about.

    Parameters
    ----------
    standing
        Of the job.
    records
        Partition to its own record, as it is or is to be.
    anew
        Partitions whose log was made anew: all that stands there is still to be applied.
    scan
        Connected.

    Raises
    ------
    ConfigurationError
        Where a customer stands both where they were and where they belong now, or nobody knows
        how many partitions there were.
    """
    partitions = standing.origin.partitions
    known = {r.partitions for r in records.values()} - {0, partitions} or {standing.kept}
    if len(known) > 1:
        raise ConfigurationError(
            f"partitions were added to {standing.origin.topic} again before an adoption was done: "
            "run `crm-online reset` to compute the state anew"
        )
    (former,) = known
    if former == partitions:
        return None
    pending = frozenset(
        p for p in range(partitions) if p not in records or records[p].partitions != partitions
    )
    epoch = next_epoch(standing.former_epoch(partitions))
    ends = {p: _end(standing, p, epoch) for p in standing.bounds}
    tails = {
        p: (max(low, records[p].as_of + 1 if p in records else low), ends[p])
        for p, (low, _) in standing.bounds.items()
        if p in pending and p not in anew
    }
    growth = Growth(standing, former, partitions, epoch, pending, ends, tails)
    await _count(growth, scan)
    return growth


def _end(standing: Standing, number: int, epoch: int) -> int:
    """Return where the events of a partition ended when this was begun, now or before."""
    begun = standing.begun.get(number)
    if begun is None or (begun.epoch, begun.partitions) != (epoch, standing.origin.partitions):
        return standing.bounds[number][1]
    return begun.end


async def _count(growth: Growth, scan: Scan) -> None:
    arrived: dict[str, tuple[int, float]] = {}
    leaving: set[str] = set()
    bounds = await scan.bounds("state", growth.standing.kept)
    for number, span in bounds.items():
        held, _ = await scan.partition(number, span, f"counting who moves from {number}")
        for customer, packed in held.store.packed.items():
            key = customer.encode()
            if growth.home(key, number) != number:
                leaving.add(customer)
            elif partition_of(key, growth.partitions) == number:
                arrived[customer] = peek(packed)[:2]
            else:
                growth.strays += 1
    growth.moving = len(leaving)
    at = growth.epoch, BEGINNING
    twice = sum(place != at for customer, place in arrived.items() if customer in leaving)
    if twice:
        stand = "stands" if twice == 1 else "stand"
        raise ConfigurationError(
            f"{counted(twice, 'customer')} of {growth.standing.origin.topic} {stand} both in "
            "their former partition and in their new one, where only one state can stay: events "
            "were applied after partitions had been added, or a producer uses another partitioner; "
            "run `crm-online reset` to compute the state anew"
        )


async def grow(
    settings: Settings,
    growth: Growth,
    records: Mapping[int, Progress],
    work: Work,
    writer: Writer,
) -> dict[str, int]:
    """Move customers, append events again, and write each partition's own record, in this order.

    It may be repeated after an interruption: who moved does not move again, and what was appended
    is not appended again.
    """
    for number in sorted(growth.pending):
        begun = Begun(growth.epoch, growth.partitions, growth.ends[number])
        await writer.write("state", number, [begun_message(begun)])
    async with Scan(settings, work) as scan:
        for number, span in (await scan.bounds("state", growth.standing.kept)).items():
            if number in growth.pending:
                held, _ = await scan.partition(number, span, f"moving customers from {number}")
                await _move(growth, number, held.store.packed, writer)
        done = await copied(scan, growth.behind)
    appended = await append_again(settings, growth.tails, growth.home, done, writer, work)
    for number in sorted(growth.pending):
        record = _record(growth, records, number)
        await writer.write("state", number, [progress_message(record)])
    return {"moved": growth.moving, "appended": appended, "strays": growth.strays}


async def _move(growth: Growth, number: int, packed: dict[str, bytes], writer: Writer) -> None:
    there: dict[int, list[Message]] = {}
    gone = []
    for customer, value in packed.items():
        home = growth.home(customer.encode(), number)
        if home != number:
            message = Message(customer.encode(), moved(value, (growth.epoch, BEGINNING)))
            there.setdefault(home, []).append(message)
            gone.append(tombstone(customer, growth.epoch, BEGINNING))
    for home, messages in there.items():
        await writer.write("state", home, messages)
    await writer.write("state", number, gone)


def _record(growth: Growth, records: Mapping[int, Progress], number: int) -> Progress:
    """Return the own record of a partition: all that stood there is applied, or moved on."""
    old = records.get(number, Progress())
    anew = number in records and number not in growth.tails
    end = growth.ends[number]
    # No timer of who comes here may fire before its time: the slowest of their partitions counts.
    step = gcd(growth.former, growth.partitions)
    watermarks = [
        record.watermark
        for p, record in records.items()
        if p < growth.former and p % step == number % step
    ]
    return msgspec.structs.replace(
        old,
        epoch=growth.epoch,
        as_of=old.as_of if anew else end - 1,
        watermark=min(watermarks, default=0.0),
        lag=None,
        topic_id=growth.standing.origin.topic_id,
        partitions=growth.partitions,
    )
