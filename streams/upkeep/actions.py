"""The state of the role `act` under `adopt`: it goes on where its scores are now."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from crm_online.actions.partition import RULES
from crm_online.actions.state import decode, encode
from crm_online.customers.partition import tombstone
from crm_online.customers.progress import Progress, next_epoch, progress_message
from crm_online.log import Message
from streams.exits import counted
from streams.feeding import partition_of
from streams.upkeep.standing import own_records

if TYPE_CHECKING:
    from crm_online.log import Origin
    from crm_online.settings import Settings
    from streams.admin import Admin
    from streams.upkeep.scanning import Scan
    from streams.upkeep.writing import Writer

__all__ = ["ActionsStanding", "look_at_actions"]

NOUN: Final = "action-state"
BEGINNING: Final = -1.0


@dataclass(frozen=True, slots=True)
class ActionsStanding:
    """How the role `act` stands.

    Parameters
    ----------
    origin
        The topic of scores that is there.
    ends
        Its partitions to their ends.
    records
        Partition to its own record, where there is one.
    partitions
        How many partitions the events have.
    """

    origin: Origin
    ends: dict[int, int]
    records: dict[int, Progress]
    partitions: int

    @property
    def anew(self) -> dict[int, Progress]:
        """Partitions whose scores are on another topic, or have lost their end; as they will be."""
        moved = {p: r for p, r in self.records.items() if self._is_other(p, r)}
        epoch = self._epoch()
        return {p: self._replaced(r, epoch, as_of=-1) for p, r in moved.items()}

    @property
    def former(self) -> int:
        """How many partitions the state was made for; 0: nobody knows.

        The fewest, so that an adoption that was interrupted is done again.
        """
        return min((r.partitions for r in self.records.values() if r.partitions), default=0)

    @property
    def grows(self) -> bool:
        """Whether customers move."""
        return 0 < self.former < self.partitions

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.anew or self.grows)

    def sentences(self) -> Iterator[str]:
        """Say what will be done."""
        if self.anew:
            yield (
                f"{self.origin.topic} is another log than the state of actions was made from: "
                f"{counted(len(self.anew), 'partition')} will go on with what customers were sent"
            )
        if self.grows:
            yield "what customers were sent will move with them"

    def _epoch(self) -> int:
        return next_epoch(max((r.epoch for r in self.records.values()), default=0))

    def _is_other(self, number: int, record: Progress) -> bool:
        return not record.is_of(self.origin) or record.as_of >= self.ends.get(number, 0)

    def _replaced(self, record: Progress, epoch: int, as_of: int) -> Progress:
        return msgspec.structs.replace(
            record,
            epoch=epoch,
            as_of=as_of,
            topic_id=self.origin.topic_id or record.topic_id,
            partitions=self.partitions,
        )

    async def adopt(self, scan: Scan, writer: Writer) -> None:
        """Move what moves, then write each partition's own record; it may be repeated."""
        moved, anew = self.anew, self.anew
        if self.grows:
            await self._move(scan, writer)
            epoch = self._epoch()
            kept = {p: self._replaced(r, epoch, r.as_of) for p, r in self.records.items()}
            # Without one, a new partition would be behind those who came there, for good.
            new = range(self.former, self.partitions) - self.records.keys()
            added = {p: self._replaced(Progress(), epoch, as_of=-1) for p in sorted(new)}
            moved = added | kept | anew
        for number, record in moved.items():
            await writer.write(NOUN, number, [progress_message(record)])

    async def _move(self, scan: Scan, writer: Writer) -> None:
        place = self._epoch(), BEGINNING
        for number, span in (await scan.bounds(NOUN, self.former)).items():
            held, _ = await scan.partition(number, span, "moving actions", noun=NOUN)
            there: dict[int, list[Message]] = {}
            gone = []
            for customer, packed in held.store.packed.items():
                key = customer.encode()
                home = partition_of(key, self.partitions)
                if customer == RULES or partition_of(key, self.former) != number or home == number:
                    continue
                state = decode(packed)
                state.epoch, state.as_of = place
                there.setdefault(home, []).append(Message(key, encode(state)))
                gone.append(tombstone(customer, *place))
            for home, messages in there.items():
                await writer.write(NOUN, home, messages)
            await writer.write(NOUN, number, gone)


async def look_at_actions(
    settings: Settings, admin: Admin, scan: Scan, partitions: int
) -> ActionsStanding:
    """Read how the role `act` stands; it may never have run.

    Parameters
    ----------
    settings
        Of the whole program.
    admin, scan
        Connected.
    partitions
        How many the events have.
    """
    origin = admin.origin(settings.topic("scores"))
    count = admin.partitions().get(settings.topic(NOUN), (0, 0))[0]
    records, _ = await own_records(scan, await scan.bounds(NOUN, count), NOUN)
    ends = admin.ends(settings.topic("scores"), range(origin.partitions))
    return ActionsStanding(origin, ends, records, partitions)
