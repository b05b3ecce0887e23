"""Faust transport that hands agents whole batches: one per partition and fetch."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any, Final

from aiokafka.errors import IllegalStateError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage, Message

from crm_online.errors import BrokerUnavailable
from streams.batches import Batch, BatchApp, Owner
from streams.consumer_thread import ConsumerThread, Fetched

__all__ = ["Consumer", "Transport"]

VOID: Final = -2  # a generation that no group has

_log = logging.getLogger(__name__)


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
        self._handed: dict[TP, int] = {}
        self._rebalances = 0
        self._assigned_for = 0
        self._restored_for = 0

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    def member_id(self) -> str:
        """Return what the group's coordinator calls us."""
        coordinator = self._thread._ensure_consumer()._coordinator  # noqa: SLF001 - no other way
        return str(coordinator.member_id)

    def tasks(self) -> set[asyncio.Task[Any]]:
        """Return the tasks of the thread that fetches and keeps up the group."""
        return asyncio.all_tasks(self._thread.thread_loop)

    @property
    def positioned(self) -> bool:
        """Whether all that is assigned is restored and read from the right place."""
        return self._positioned

    def unposition(self) -> None:
        """Take no batch until the seek that follows the restore which begins now.

        What is on its way to the agents was read for an assignment before, or from elsewhere.
        """
        self._positioned = False
        self._restored_for = self._assigned_for
        self._void()

    def done(self) -> dict[TP, int]:
        """Partition of a batch topic to the offset up to which its records are done with."""
        return {tp: self._done(tp) for tp in self.assignment() if tp.topic in self.app.owners}

    def lags(self) -> dict[tuple[str, int], int]:
        """Return how many records of each partition are known of and not done with."""
        done = self.done().items()
        return {(tp.topic, tp.partition): max((self.highwater(tp) or 0) - at, 0) for tp, at in done}

    def lag(self) -> int:
        """Return how many records are known of and not done with."""
        return sum(self.lags().values())

    def _done(self, tp: TP) -> int:
        for message in self._in_flight.get(tp, ()):
            if not message.acked:
                batch: Any = message.value
                return int(batch.records[0].offset)
        # Markers of transactions are no records, but a position goes past them.
        subscription = self._thread._ensure_consumer()._subscription  # noqa: SLF001 - no other way
        assignment = subscription.subscription.assignment
        state = assignment and assignment.state_value(tp)
        return int(state.position) if state and state.has_valid_position else 0

    def rejoin(self) -> None:
        """Have the group joined again: what was assigned has been let go of."""
        self._thread.rejoin()

    async def getmany(
        self,
        timeout: float,  # noqa: ASYNC109 - Faust's signature
    ) -> AsyncIterator[tuple[TP, Message]]:
        """Fetch once; yield what came, batch topics first."""
        fetched, _ = await self._wait_next_records(timeout)
        if not isinstance(fetched, Fetched) or not await self._is_current(fetched):
            return
        if not self._handed.items() <= fetched.follows.items():
            await self._read_again()
            return
        single = {}
        for tp, records in fetched.items():
            if tp.topic not in self.app.owners:
                single[tp] = records
                continue
            for batch in self._cut(tp, records):
                if not await self._is_current(fetched):
                    return
                yield tp, self._track(tp, batch)
        for tp, record in self.scheduler.iterate(single):
            if not await self._is_current(fetched):
                return
            yield tp, self._to_message(tp, record)

    async def _is_current(self, fetched: Fetched) -> bool:
        # A fetch that began before a rebalance may return behind its seek, and before the flow goes
        # on: the consumer's position is then past these records, and nobody would read them again.
        while not (self.flow_active or self.should_stop):
            await self.wait(self.can_resume_flow)  # type: ignore[arg-type]  # as Faust does
        # What was fetched before the latest seek is fetched again behind it.
        return self._positioned and not self.should_stop and fetched.seeks == self._thread.seeks

    async def _read_again(self) -> None:
        # At a rebalance Faust cancels who waits for a fetch, and the fetch goes on in its thread:
        # it may take the first records behind the seek, and there is nobody to hand them on.
        _log.info("some of what was fetched was not handed on: all is read again from where it was")
        with suppress(IllegalStateError):  # a partition is another's by now
            await self.seek_wait(dict(self._handed))

    def _cut(self, tp: TP, records: list[Any]) -> Iterator[Batch]:
        start = self._read_offset[tp] or 0
        if records and records[0].offset < start:
            records = [record for record in records if record.offset >= start]
        end = max(self.highwater(tp) or 0, records[-1].offset + 1 if records else 0)
        for first in range(0, len(records), self.app.max_batch):
            part = records[first : first + self.app.max_batch]
            yield Batch(*tp, part, end, self._handed.get(tp, part[0].offset))

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
        self._handed[tp] = last.offset + 1
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
        self._rebalances += 1
        self.app.flow_control.suspend()
        self.app.flow_control.clear()
        try:
            for owner in self._owners():
                await owner.idle()
            self.app.lease.release()
            await self.commit()
        except Exception as error:  # aiokafka would join again in spite of it
            self.app.stop_process(error)
            raise
        self._void()
        await super().on_partitions_revoked(revoked)

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Take note of which rebalance this is the outcome of: a restore may begin behind more."""
        self._assigned_for = self._rebalances
        await super().on_partitions_assigned(assigned, generation_id)

    def _void(self) -> None:
        """Let nothing of what is under way be taken, wherever it waits."""
        for messages in self._in_flight.values():
            for message in messages:
                message.generation_id = VOID
        self._in_flight.clear()
        self._unacked_messages.clear()
        self._handed.clear()

    async def on_stop(self) -> None:
        """Finish what was begun, so that the last commit is all that was read."""
        for owner in self._owners():
            await owner.idle()
        self.app.lease.release()
        await super().on_stop()

    def _owners(self) -> list[Owner]:
        return [owner for owner in self.app.owners.values() if owner is not None]

    async def perform_seek(self) -> None:
        """Give every assigned partition of a batch topic its position, explicitly.

        Faust calls this last, after its rebalance signals. Stock Faust leaves a partition without a
        commit where it is, behind the records that were fetched, and dropped, in between.
        """
        if self._restored_for != self._rebalances:
            return  # the group rebalances again, and nothing is taken until all is restored anew
        seconds = 0.9 * self.app.conf.broker_request_timeout
        try:
            async with asyncio.timeout(seconds):
                await self._seek_batches()
        except IllegalStateError:
            # The next rebalance took a partition away meanwhile; it positions what it leaves us.
            _log.info("the group rebalances again: positions are set anew")
        except TimeoutError:
            self.app.stop_process(
                BrokerUnavailable(
                    f"Kafka did not say within {seconds:.0f} s where {self.app.conf.id} is to read "
                    "on: check the brokers"
                )
            )
        except Exception as error:  # noqa: BLE001 - Faust would go on from a wrong position
            self.app.stop_process(error)
        else:
            # Where the group rebalanced during the restore, that is done anew, maybe from less: a
            # broker that was killed shows the end of a topic late. Nothing may be read until then.
            self._positioned = self._restored_for == self._rebalances

    async def _seek_batches(self) -> None:
        known = {
            TP(topic, partition): offset
            for topic, owner in self.app.owners.items()
            if owner is not None
            for partition, offset in owner.resume_at().items()
        }
        assigned = self.assignment()
        if assigned - known.keys():  # only there do the group's commits decide
            await super().perform_seek()
        mine = {tp for tp in assigned if tp.topic in self.app.owners}
        wanted = {tp: known.get(tp, self._committed_offset.get(tp)) for tp in mine}
        unknown = [tp for tp, offset in wanted.items() if not offset]
        if unknown:
            earliest = await self.earliest_offsets(*unknown)
            wanted |= {TP(*tp): offset for tp, offset in earliest.items()}
        if wanted:
            await self.seek_wait({tp: offset or 0 for tp, offset in wanted.items()})
        self._handed = {tp: offset or 0 for tp, offset in wanted.items()}
        for tp in wanted:
            self._committed_offset[tp] = None


class Transport(driver.Transport):
    """Faust's Kafka transport with our consumer; its addresses begin with ``kafkabatch://``."""

    Consumer = Consumer
