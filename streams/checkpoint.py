"""Restores the state of partitions from their compacted topic, before their first event."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from crm_online.errors import BrokerUnavailable, ConfigurationError, SnapshotError
from crm_online.log import Machine, Message, Origin, Restore
from streams.admin import Admin
from streams.connection import consumer_options
from streams.deliveries import Place
from streams.guard import followed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from crm_online.settings import Settings

__all__ = ["Restored", "restore"]

REPORT_SECONDS: Final = 5.0
ABSENT_SECONDS: Final = 10.0
FETCH_BYTES: Final = 4 * 1024 * 1024
# The broker answers a connection in order: a fetch that waits for records delays all else.

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore came to.

    Parameters
    ----------
    starts
        Partition to the offset of the source topic to go on from.
    records
        How many records of the state topic were read.
    seconds
        How long it took.
    read
        Topic and partition to the offset up to which nothing stale stands there: the state topic's
        end, and what the owner before us had followed.
    overtaken
        Partition to what must be written again over older records.
    """

    starts: dict[int, int]
    records: int
    seconds: float
    read: dict[Place, int] = field(default_factory=dict)
    overtaken: dict[int, list[Message]] = field(default_factory=dict)


async def restore(
    partitions: Collection[int],
    machine: Machine,
    settings: Settings,
    *,
    source: str,
    state: str,
    wanted: Callable[[], bool] = lambda: True,
    report: Callable[[int, int], None] = lambda _records, _left: None,
) -> Restored | None:
    """Read back the state of partitions, all of them together.

    Parameters
    ----------
    partitions
        Of the state topic and the source topic alike.
    machine
        Its state of these partitions is replaced.
    settings
        Where Kafka is.
    source, state
        Names of the log and of the compacted topic.
    wanted
        Asked now and then; once it is false the restore is given up.
    report
        Told the records read so far, and the offsets that are left.

    Returns
    -------
    Restored or None
        ``None`` where it was given up.

    Raises
    ------
    SnapshotError
        Where the state was made from another topic, or stands at an offset that the source topic
        does not hold.
    ConfigurationError
        Where there is no source topic.
    BrokerUnavailable
        Where Kafka does not answer.
    """
    if not partitions:
        return Restored({}, 0, 0.0)
    began = time.monotonic()
    restores = {partition: machine.restore(partition) for partition in sorted(partitions)}
    try:
        async with _reader(settings) as reader:
            origin = await asyncio.to_thread(_origin, settings, source, state)
            reading = _Reading(reader, state, restores, report, declared=settings.declare_topics)
            records = await reading.run(wanted)
            if not wanted():
                return None
            starts = {partition: each.finish(origin) for partition, each in restores.items()}
            starts = await _check(reader, source, state, starts)
            overtaken = {partition: each.overtaken() for partition, each in restores.items()}
    except KafkaError as error:
        raise BrokerUnavailable(
            f"{state} could not be read at {settings.kafka} ({error!r}): check CRM_KAFKA"
        ) from error
    return Restored(starts, records, time.monotonic() - began, reading.read(), overtaken)


@asynccontextmanager
async def _reader(settings: Settings) -> AsyncIterator[Any]:
    consumer = AIOKafkaConsumer(
        **consumer_options(settings),
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=FETCH_BYTES,
    )
    try:
        await consumer.start()
        yield consumer
    finally:
        await consumer.stop()


class _Reading:
    def __init__(
        self,
        reader: Any,
        topic: str,
        restores: Mapping[int, Restore],
        report: Callable[[int, int], None],
        *,
        declared: bool,
    ) -> None:
        self._tell = report
        self._reader = reader
        self._declared = declared
        self._topic = topic
        self._restores = restores
        self._records = 0
        self._ends = dict.fromkeys(restores, 0)
        self._began = self._reported = time.monotonic()

    async def run(self, wanted: Callable[[], bool]) -> int:
        reader = self._reader
        if not await self._is_there(wanted):
            return 0
        every = [TopicPartition(self._topic, partition) for partition in self._restores]
        ends = await reader.end_offsets(every)
        self._ends = {tp.partition: end for tp, end in ends.items()}
        left = {tp: end for tp, end in ends.items() if end > 0}
        reader.assign(list(left))
        if left:
            await reader.seek_to_beginning(*left)
        while left and wanted():
            for tp, records in (await reader.getmany(*left, timeout_ms=500)).items():
                self._restores[tp.partition].apply(records)
                self._records += len(records)
            # Compaction and control records leave offsets without a record: ask the position.
            at = {tp: await reader.position(tp) for tp in left}
            left = {tp: end for tp, end in left.items() if at[tp] < end}
            self._report(sum(end - at[tp] for tp, end in left.items()))
        return self._records

    def read(self) -> dict[Place, int]:
        """Return up to where nothing stale stands, by topic and partition."""
        found = {(self._topic, partition): end for partition, end in self._ends.items()}
        for partition, restore in self._restores.items():
            found |= followed(restore.remarks(), partition)
        return found

    async def _is_there(self, wanted: Callable[[], bool]) -> bool:
        began = time.monotonic()
        while self._topic not in await self._reader.topics():
            if not self._declared:
                _log.warning("%s does not exist: every state begins empty", self._topic)
                return False
            if time.monotonic() - began > ABSENT_SECONDS:
                raise BrokerUnavailable(
                    f"{self._topic} does not exist: create it with `crm-online topics`"
                )
            # A broker hears of a new topic a little later than the controller that made it.
            await asyncio.sleep(ABSENT_SECONDS / 50)
            if not wanted():
                return False
        return True

    def _report(self, left: int) -> None:
        self._tell(self._records, left)
        now = time.monotonic()
        if now - self._reported < REPORT_SECONDS or not left:
            return
        self._reported = now
        rate = self._records / (now - self._began)
        _log.info(
            "restoring %s: %d records, %d/s, at most %d s left",
            self._topic,
            self._records,
            rate,
            left / max(rate, 1.0),
        )


async def _check(reader: Any, source: str, state: str, starts: dict[int, int]) -> dict[int, int]:
    held = [TopicPartition(source, partition) for partition in starts]
    lows, ends = await reader.beginning_offsets(held), await reader.end_offsets(held)
    found = {}
    for partition, start in starts.items():
        tp = TopicPartition(source, partition)
        low, end = lows[tp], ends[tp]
        where = f"{source}[{partition}]@{start}"
        if start > end:
            raise SnapshotError(
                f"{state} says to go on at {where}, but that log ends at {end}: it is not the log "
                "the state was made from, or has lost its end; stop all workers and run "
                "`crm-online adopt` to go on with the state, or `crm-online reset` to compute it "
                "anew"
            )
        if 0 < start < low:
            raise SnapshotError(
                f"{state} says to go on at {where}, but retention has removed all before {low}: "
                f"{low - start} records were never applied; stop all workers and run `crm-online "
                "adopt` to go on without them, and raise CRM_RETENTION_DAYS and retention.ms of "
                f"{source}"
            )
        found[partition] = max(start, low)
    return found


def _origin(settings: Settings, source: str, state: str) -> Origin:
    """Say which log is there; its partitions and those of the state must be as many."""
    admin = Admin(settings)
    origin = admin.origin(source)
    if not origin.partitions:
        raise ConfigurationError(
            f"{source} does not exist: create it with `crm-online topics`, or correct CRM_APP"
        )
    kept = admin.partitions().get(state, (origin.partitions, 0))[0]
    if kept != origin.partitions:
        raise SnapshotError(
            f"{source} has {origin.partitions} partitions and {state} has {kept}: partitions were "
            f"added; set CRM_PARTITIONS={origin.partitions}, stop all workers and run `crm-online "
            "adopt`"
        )
    return origin
