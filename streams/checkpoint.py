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

from crm_online.errors import BrokerUnavailable, SnapshotError
from crm_online.log import Machine, Message, Restore
from streams.connection import consumer_options

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
    ends
        Partition to the offset of the state topic up to which it was read.
    overtaken
        Partition to what must be written again over older records.
    """

    starts: dict[int, int]
    records: int
    seconds: float
    ends: dict[int, int] = field(default_factory=dict)
    overtaken: dict[int, list[Message]] = field(default_factory=dict)


async def restore(
    partitions: Collection[int],
    machine: Machine,
    settings: Settings,
    *,
    source: str,
    state: str,
    wanted: Callable[[], bool] = lambda: True,
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

    Returns
    -------
    Restored or None
        ``None`` where it was given up.

    Raises
    ------
    SnapshotError
        Where the state stands at an offset that the source topic does not hold.
    BrokerUnavailable
        Where Kafka does not answer.
    """
    if not partitions:
        return Restored({}, 0, 0.0)
    began = time.monotonic()
    restores = {partition: machine.restore(partition) for partition in sorted(partitions)}
    try:
        async with _reader(settings) as reader:
            reading = _Reading(reader, state, restores, declared=settings.declare_topics)
            records = await reading.run(wanted)
            if not wanted():
                return None
            starts = {partition: each.finish() for partition, each in restores.items()}
            starts = await _check(reader, source, state, starts)
            overtaken = {partition: each.overtaken() for partition, each in restores.items()}
    except KafkaError as error:
        raise BrokerUnavailable(
            f"{state} could not be read at {settings.kafka} ({error!r}): check CRM_KAFKA"
        ) from error
    return Restored(starts, records, time.monotonic() - began, reading.ends, overtaken)


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
        self, reader: Any, topic: str, restores: Mapping[int, Restore], *, declared: bool
    ) -> None:
        self._reader = reader
        self._declared = declared
        self._topic = topic
        self._restores = restores
        self._records = 0
        self.ends = dict.fromkeys(restores, 0)
        self._began = self._reported = time.monotonic()

    async def run(self, wanted: Callable[[], bool]) -> int:
        reader = self._reader
        if not await self._is_there(wanted):
            return 0
        every = [TopicPartition(self._topic, partition) for partition in self._restores]
        ends = await reader.end_offsets(every)
        self.ends = {tp.partition: end for tp, end in ends.items()}
        left = {tp: end for tp, end in ends.items() if end > 0}
        reader.assign(list(left))
        if left:
            await reader.seek_to_beginning(*left)
        while left and wanted():
            for tp, records in (await reader.getmany(*left, timeout_ms=500)).items():
                self._restores[tp.partition].apply(records)
                self._records += len(records)
            # Compaction and control records leave offsets without a record: ask the position.
            for tp in list(left):
                if await reader.position(tp) >= left[tp]:
                    del left[tp]
            await self._report(left)
        return self._records

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

    async def _report(self, left: Mapping[Any, int]) -> None:
        now = time.monotonic()
        if now - self._reported < REPORT_SECONDS or not left:
            return
        self._reported = now
        rate = self._records / (now - self._began)
        behind = sum([end - await self._reader.position(tp) for tp, end in left.items()])
        _log.info(
            "restoring %s: %d records, %d/s, at most %d s left",
            self._topic,
            self._records,
            rate,
            behind / max(rate, 1.0),
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
                f"the state was made from. Stop all workers and delete {state} to compute the "
                f"state anew from {source}, or bring back the topic it belongs to."
            )
        if 0 < start < low:
            raise SnapshotError(
                f"{state} says to go on at {where}, but retention has removed all before {low}: "
                f"{low - start} records were never applied. Stop all workers and delete {state} "
                f"to compute the state from what is left, and raise retention.ms of {source}."
            )
        found[partition] = max(start, low)
    return found
