"""Faust transport that hands agents whole batches: one per partition and fetch.

Faust spends some fifty microseconds on each message that an agent reads. Here a message is a
`Batch` of up to ``max_batch`` records, so that price is paid once for all of them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol

import faust
from faust.transport.drivers import TRANSPORTS
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, AppT, ConsumerMessage, Message
from faust.types.topics import TopicT

from crm_online.log import Record
from streams.connection import BATCH_SCHEME

__all__ = ["Batch", "BatchApp", "BatchSchema", "Consumer", "Generation", "Owner", "Transport"]

BUFFERED_BATCHES: Final = 4


class Generation(NamedTuple):
    """One stable membership of a consumer group: its number, and who we are in it."""

    number: int
    member: str


@dataclass(frozen=True, slots=True)
class Batch:
    """Consecutive records of one partition, as one fetch brought them.

    Parameters
    ----------
    topic, partition
        Where they were read.
    records
        In log order, never empty.
    end
        The partition's end offset as last heard from the broker.
    """

    topic: str
    partition: int
    records: Sequence[Record]
    end: int


class Owner(Protocol):
    """Who processes the batches of a topic, and knows where to go on after a rebalance."""

    async def idle(self) -> None:
        """Take no further batch, and return when all that were taken are delivered."""

    async def restore(self, generation: Generation, partitions: frozenset[int]) -> None:
        """Get ready for these partitions: all that we own from this generation on."""

    def resume_at(self) -> Mapping[int, int]:
        """Partition to the offset to read from; for others the group's commit decides."""


class BatchApp(faust.App):
    """A Faust app some of whose topics arrive in batches.

    Parameters
    ----------
    id
        Name of the consumer group.
    max_batch
        Most records that a batch may hold.
    stop
        Called with the reason where the consumer cannot be positioned; ends the process.
    options
        As `faust.App` takes them.
    """

    def __init__(
        self, id: str, *, max_batch: int, stop: Callable[[BaseException], None], **options: Any
    ) -> None:
        self.max_batch: Final = max_batch
        self.stop_process: Final = stop
        self.owners: Final[dict[str, Owner | None]] = {}
        super().__init__(id, **options)
        self.on_rebalance_complete.connect(self._restore_owners, weak=False)

    def batch_topic(
        self, name: str, owner: Owner | None = None, *, buffer: int = BUFFERED_BATCHES
    ) -> TopicT[Batch]:
        """Declare a topic whose agent gets `Batch` values.

        Parameters
        ----------
        name
            Of the topic.
        owner
            Who restores and positions it; without one the group's commits do.
        buffer
            Batches that wait for the agent before fetching pauses.
        """
        self.owners[name] = owner
        return self.topic(name, schema=BatchSchema(), maxsize=buffer)

    async def _restore_owners(self, *_: object, **__: object) -> None:
        consumer: Any = self.consumer
        generation = Generation(self.consumer_generation_id, consumer.member_id())
        assigned = consumer.assignment()
        for topic, owner in self.owners.items():
            if owner is not None:
                partitions = frozenset(tp.partition for tp in assigned if tp.topic == topic)
                await owner.restore(generation, partitions)


class BatchSchema(faust.Schema):
    """Hands the batch through undecoded."""

    def compile(self, app: AppT[Any], **_: Any) -> Any:
        """Return the coroutine function that makes an event of a message."""

        async def decode(message: Message, *, propagate: bool = False) -> Any:
            del propagate
            return app.create_event(None, message.value, None, message)

        return decode


class Fetched(dict[TP, list[Any]]):
    """Records by partition, stamped with how often the consumer had been sought by then."""

    def __init__(self, records: Mapping[TP, list[Any]], seeks: int) -> None:
        super().__init__(records)
        self.seeks = seeks


class ConsumerThread(driver.AIOKafkaConsumerThread):
    """Faust's consumer thread, which stamps what it fetches."""

    seeks = 0

    async def _fetch_records(self, *args: Any, **options: Any) -> Fetched:
        records = await super()._fetch_records(*args, **options)
        return Fetched(records, self.seeks)

    async def _seek_wait(self, consumer: Any, partitions: Mapping[TP, int]) -> None:
        self.seeks += 1
        await super()._seek_wait(consumer, partitions)


class Consumer(driver.Consumer):
    """Faust's consumer, except that the topics an app declared for it come in batches.

    Other topics are left to Faust. What differs for batch topics: backpressure is the bounded
    queue of the topic alone; commits are strictly contiguous; after a rebalance every assigned
    partition gets an explicit position.
    """

    app: BatchApp
    _thread: ConsumerThread

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._in_flight: dict[TP, deque[ConsumerMessage]] = {}
        self._positioned = True

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    def member_id(self) -> str:
        """Return what the group's coordinator calls us."""
        coordinator = self._thread._ensure_consumer()._coordinator  # noqa: SLF001 - no other way
        return str(coordinator.member_id)

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Message]]:
        """Fetch once; yield what came, batch topics first."""
        fetched, _ = await self._wait_next_records(timeout)
        if not isinstance(fetched, Fetched) or self.should_stop:
            return
        single = {}
        for tp, records in fetched.items():
            if tp.topic not in self.app.owners:
                single[tp] = records
                continue
            for batch in self._cut(tp, records):
                if not self._is_current(fetched):
                    return
                yield tp, self._track(tp, batch)
        for tp, record in self.scheduler.iterate(single):
            if not self._is_current(fetched):
                return
            yield tp, self._to_message(tp, record)

    def _is_current(self, fetched: Fetched) -> bool:
        # What was fetched before the latest seek is fetched again behind it.
        return self.flow_active and self._positioned and fetched.seeks == self._thread.seeks

    def _cut(self, tp: TP, records: list[Any]) -> Iterator[Batch]:
        start = self._read_offset[tp] or 0
        if records and records[0].offset < start:
            records = [record for record in records if record.offset >= start]
        end = self.highwater(tp)
        for first in range(0, len(records), self.app.max_batch):
            yield Batch(*tp, records[first : first + self.app.max_batch], end)

    def _track(self, tp: TP, batch: Batch) -> ConsumerMessage:
        last: Any = batch.records[-1]
        message = ConsumerMessage(
            tp.topic,
            tp.partition,
            last.offset,
            last.timestamp / 1000.0,
            last.timestamp_type,
            None,
            None,
            batch,  # type: ignore[arg-type]  # Faust says bytes, and only hands it to the schema
            None,
            0,
            0,
            TP(*tp),
            generation_id=self.app.consumer_generation_id,
        )
        self._in_flight.setdefault(tp, deque()).append(message)
        return message

    def on_buffer_full(self, tp: TP) -> None:
        """Leave batch topics fetching: their bounded queue blocks by itself."""
        if tp.topic not in self.app.owners:
            super().on_buffer_full(tp)

    def on_buffer_drop(self, tp: TP) -> None:
        """Mirror `on_buffer_full`."""
        if tp.topic not in self.app.owners:
            super().on_buffer_drop(tp)

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        if tp.topic not in self.app.owners:
            await super()._add_gap(tp, offset_from, offset_to)

    def _new_offset(self, tp: TP) -> int | None:
        if tp.topic not in self.app.owners:
            return super()._new_offset(tp)
        self._acked[tp].clear()
        self._acked_index[tp].clear()
        messages, offset = self._in_flight.get(tp), None
        while messages and messages[0].acked:
            offset = messages.popleft().offset + 1
        return offset

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Finish what was begun and commit it, while the partitions are still ours."""
        self.stop_flow()
        self._positioned = False
        self.app.flow_control.suspend()
        self.app.flow_control.clear()
        for owner in self._owners():
            await owner.idle()
        await self.commit()
        self._in_flight.clear()
        self._unacked_messages.clear()
        await super().on_partitions_revoked(revoked)

    def _owners(self) -> Iterable[Owner]:
        return [owner for owner in self.app.owners.values() if owner is not None]

    async def perform_seek(self) -> None:
        """Give every assigned partition of a batch topic its position, explicitly.

        Faust calls this last, after its rebalance signals. Stock Faust leaves a partition without a
        commit where it is, behind the records that were fetched, and dropped, in between.
        """
        try:
            async with asyncio.timeout(0.9 * self.app.conf.broker_request_timeout):
                await super().perform_seek()
                await self._seek_batches()
        except Exception as error:  # Faust would go on from a wrong position  # noqa: BLE001
            self.app.stop_process(error)
        else:
            self._positioned = True

    async def _seek_batches(self) -> None:
        mine = {tp for tp in self.assignment() if tp.topic in self.app.owners}
        wanted = {tp: self._committed_offset.get(tp) for tp in mine}
        for topic, owner in self.app.owners.items():
            if owner is not None:
                offsets = owner.resume_at()
                wanted |= {tp: offsets[tp[1]] for tp in mine if tp[0] == topic and tp[1] in offsets}
        unknown = [tp for tp, offset in wanted.items() if not offset]
        if unknown:
            earliest = await self.earliest_offsets(*unknown)
            wanted |= {TP(*tp): offset for tp, offset in earliest.items()}
        if wanted:
            await self.seek_wait({tp: offset or 0 for tp, offset in wanted.items()})
        for tp in wanted:
            self._committed_offset[tp] = None


class Transport(driver.Transport):
    """Faust's Kafka transport with our consumer; its addresses begin with ``kafkabatch://``."""

    Consumer = Consumer


TRANSPORTS.aliases[BATCH_SCHEME] = "streams.transport:Transport"
