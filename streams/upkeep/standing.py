"""How a job stands: its log, how far each partition is, and what its models were made from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from crm_online.customers.partition import Partition, PartitionRestore
from crm_online.errors import ConfigurationError
from crm_online.internal import PROGRESS_KEY
from crm_online.models.snapshots import ModelSnapshot, SnapshotReader
from streams.admin import Admin
from streams.roles.inputs import Input, find_inputs
from streams.topics import SINGLE_PARTITION, plan
from streams.upkeep.appending import BEGUN_KEY, Begun, read_begun

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crm_online.customers.progress import Progress
    from crm_online.log import Origin
    from crm_online.settings import Settings
    from streams.upkeep.scanning import Scan

__all__ = ["Models", "Standing", "grow_topics", "look", "own_records", "read_models"]


@dataclass(frozen=True, slots=True)
class Models:
    """What stands on the models topic.

    Parameters
    ----------
    newest
        Model name to its newest whole snapshot.
    chunks
        Keys of all chunks.
    end
        Of the topic.
    """

    newest: dict[str, ModelSnapshot]
    chunks: set[bytes]
    end: int


@dataclass(frozen=True, slots=True)
class Standing:
    """How a job stands that nobody works on.

    Parameters
    ----------
    origin
        The log that is there.
    bounds
        Its partitions to their first offsets and their ends.
    kept
        How many partitions the state topic has.
    records
        Partition to its own record, where there is one.
    begun
        Partition to what an adoption noted that may have been interrupted.
    models
        What was learned.
    inputs
        Noun to what the models are made from now.
    """

    origin: Origin
    bounds: dict[int, tuple[int, int]]
    kept: int
    records: dict[int, Progress]
    begun: dict[int, Begun]
    models: Models
    inputs: dict[str, Input]

    @property
    def epoch(self) -> int:
        """The highest epoch of any partition."""
        return max((record.epoch for record in self.records.values()), default=0)

    def former_epoch(self, partitions: int) -> int:
        """Return the highest epoch of partitions that were not made for so many."""
        epochs = [r.epoch for r in self.records.values() if r.partitions != partitions]
        return max(epochs, default=self.epoch)


async def look(settings: Settings, admin: Admin, scan: Scan) -> Standing:
    """Read how a job stands.

    Raises
    ------
    ConfigurationError
        Where a topic is not there.
    SnapshotError
        Where a record or a snapshot cannot be read.
    """
    origin = admin.origin(settings.topic("events"))
    counts = admin.partitions()
    kept = counts.get(settings.topic("state"), (0, 0))[0]
    for noun, count in (("events", origin.partitions), ("state", kept)):
        if not count:
            raise ConfigurationError(
                f"{settings.topic(noun)} does not exist: create it with `crm-online topics`, or "
                "correct CRM_APP"
            )
    records, begun = await own_records(scan, await scan.bounds("state", kept))
    return Standing(
        origin,
        await scan.bounds("events", origin.partitions),
        kept,
        records,
        begun,
        await read_models(settings, scan),
        find_inputs(settings),
    )


async def own_records(
    scan: Scan, bounds: Mapping[int, tuple[int, int]], noun: str = "state"
) -> tuple[dict[int, Progress], dict[int, Begun]]:
    """Read the own record of each partition of a state topic, and what adoptions noted there."""
    held = {number: Partition(number) for number in bounds}
    begun, seen = dict[int, Begun](), set[int]()
    async for number, records in scan.read(noun, bounds, "reading how far each is"):
        own = [record for record in records if record.key == PROGRESS_KEY and record.value]
        if own:
            PartitionRestore(held[number]).apply(own)
            seen.add(number)
        for record in records:
            if record.key == BEGUN_KEY and record.value:
                begun[number] = read_begun(record.value)
    return {number: held[number].progress for number in sorted(seen)}, begun


async def read_models(settings: Settings, scan: Scan) -> Models:
    """Read the newest snapshots; the topic must be there."""
    reader = SnapshotReader(settings.signing_key.get_secret_value().encode())
    bounds = await scan.bounds("models", 1)
    found = Models({}, set(), bounds[0][1])
    async for _, records in scan.read("models", bounds, "reading models"):
        found.newest.update({each.name: each for each in reader.apply(records)})
        for record in records:
            if record.key is not None and b"/" in record.key:
                (found.chunks.discard if record.value is None else found.chunks.add)(record.key)
    return found


def grow_topics(settings: Settings, admin: Admin, partitions: int) -> list[str]:
    """Give all keyed topics as many partitions as the events have; returns what grew.

    Raises
    ------
    ConfigurationError
        Where one has more: Kafka takes none away.
    """
    counts = {name: count for name, (count, _) in admin.partitions().items()}
    single = {settings.topic(noun) for noun in SINGLE_PARTITION}
    keyed = [t.name for t in plan(settings) if t.name in counts and t.name not in single]
    for name in keyed:
        if counts[name] > partitions:
            raise ConfigurationError(
                f"{name} has {counts[name]} partitions, more than the {partitions} of "
                f"{settings.topic('events')}: give that as many, and run this again"
            )
    grown = [name for name in keyed if counts[name] < partitions]
    admin.grow(dict.fromkeys(grown, partitions))
    return grown
