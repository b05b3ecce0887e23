"""The keyed processor: reads batches of a log, steps a machine, makes its effects durable."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from crm_online.errors import BrokerUnavailable
from crm_online.log import Effects, Machine, Message, Record
from crm_online.settings import Settings
from streams import checkpoint
from streams.batches import IDLE_SECONDS, Batch, Generation
from streams.figures import Figures
from streams.finisher import Finisher
from streams.guard import Guard
from streams.lease import LeaseLost
from streams.positions import Positions
from streams.producer import OutputProducer
from streams.stacks import tell

__all__ = ["Processor"]


_log = logging.getLogger(__name__)


class Processor:
    """Drives a machine over one topic, exactly once in effect.

    Per batch: outputs delivered, then snapshots, then the partition's own record, then the
    acknowledgement. What fails on the way ends the process, or without the lease drops all that
    is held; the batch is read again.

    Parameters
    ----------
    machine
        Holds the state and decides everything.
    producer
        Writes; started and stopped by the caller.
    settings
        Of the whole program.
    stop
        Called with the reason where going on would be wrong; must end the process.
    source, state
        Nouns of the log and of the compacted topic.
    standing
        Nouns of compacted outputs, whose last record of each key must be the right one.
    """

    def __init__(
        self,
        machine: Machine,
        producer: OutputProducer,
        settings: Settings,
        stop: Callable[[BaseException], None],
        *,
        source: str = "events",
        state: str = "state",
        standing: Sequence[str] = ("scores", "recommendations"),
    ) -> None:
        self.figures: Final = Figures()
        self.source: Final = settings.topic(source)
        self.state: Final = settings.topic(state)
        self._machine = machine
        self._producer = producer
        self._settings = settings
        self._stop = stop
        self.guard: Final = Guard(settings, [state, *standing], producer.deliveries, self._correct)
        self._finisher = Finisher(
            self._deliver_state, settings.max_in_flight_events, stop, self._abandon
        )
        self._applying = asyncio.Lock()
        self._restoring = asyncio.Lock()
        self._taking = False
        self._round = 0
        self._generation = Generation(-1, "")
        self._owned: set[int] = set()
        self._positions = Positions()
        self.restoring = (0, 0)

    @property
    def owned(self) -> frozenset[int]:
        """Partitions whose state is held and whose batches are taken."""
        return frozenset(self._owned) if self._taking else frozenset()

    def newest(self, partition: int) -> int | None:
        """Kafka timestamp of the last record applied, in milliseconds since 1970."""
        return self._positions.newest.get(partition)

    def lag(self) -> int:
        """Return how many records of the partitions held are known of and not applied."""
        return self._positions.lag(self._owned)

    async def run(self, stream: Any) -> None:
        """Take the batches of a Faust stream for as long as it lasts: the body of an agent."""
        async for event in stream.noack().events():
            await self.take(event)

    async def take(self, event: Any) -> None:
        """Apply one event that carries a `Batch`; its acknowledgement follows its effects."""
        try:
            async with self._applying:
                if self._taking and event.message.generation_id == self._generation.number:
                    await self._apply(event.value)
                    self._finisher.acknowledge(event.value.partition, event.ack)
                else:
                    self.figures.stale += 1
        except LeaseLost:
            self._abandon()
        except asyncio.CancelledError:
            self._abandon()  # half a batch may be applied: nothing held can be kept
            raise
        except Exception as error:  # noqa: BLE001 - a bug, or a write that failed
            self._abandon()
            self._stop(error)

    async def append(self, topic: str, partition: int, message: Message) -> None:
        """Write one message to a topic, given by its noun, and return when it is delivered."""
        await self._producer.deliver(self._settings.topic(topic), partition, [message])

    async def idle(self) -> None:
        """Take no further batch, and return when the effects of all taken are durable."""
        self._taking = False
        self._round = current = self._round + 1
        try:
            async with asyncio.timeout(IDLE_SECONDS):
                async with self._applying:
                    pass
                await self._finisher.idle()
        except TimeoutError:
            self._abandon()
            if self._round != current:
                return  # the lease was lost meanwhile, and all was let go of
            tell(asyncio.all_tasks())
            self._stop(
                BrokerUnavailable(
                    f"effects of {self.source} were not delivered within {IDLE_SECONDS:.0f} s of a "
                    "rebalance: check the broker, or lower CRM_MAX_IN_FLIGHT_EVENTS"
                )
            )

    async def restore(self, generation: Generation, partitions: frozenset[int]) -> None:
        """Restore what is new; keep what was ours in the generation just before this one."""
        current = self._round

        def wanted() -> bool:
            return self._round == current

        # One at a time: the group may rebalance again, or the lease be lost, during a restore.
        async with self._restoring:
            try:
                if wanted():
                    await self._restore(generation, partitions, wanted)
            except LeaseLost:
                self._abandon()
            except Exception as error:  # noqa: BLE001 - whatever it is, no event may be applied
                if wanted():
                    self._stop(error)
                else:
                    _log.warning("a restore that was given up has failed: %r", error)

    def lose(self) -> None:
        """Let go of everything at once: what is under way is dropped, and all is restored anew."""
        self.figures.lease_losses += 1
        self._round += 1
        self._abandon()
        self._producer.abandon()
        self._finisher.drop()
        for partition in self._owned:
            self._forget(partition)
        self._owned = set()

    def resume_at(self) -> Mapping[int, int]:
        """Partition to the offset right behind what is durably applied."""
        return self._positions.resume_at(self._owned, self._finisher.progress)

    def _report(self, records: int, left: int) -> None:
        self.restoring = records, left

    def _follows(self, generation: Generation) -> bool:
        before = self._generation
        return generation == Generation(before.number + 1, before.member)

    async def _restore(
        self, generation: Generation, partitions: frozenset[int], wanted: Callable[[], bool]
    ) -> None:
        self._taking = False
        await self._finisher.idle()  # of a restore that was given up
        kept = self._owned & partitions if self._follows(generation) else set()
        for partition in self._owned - kept:
            self._forget(partition)
        self._owned, self._generation = kept, generation
        gained = partitions - kept
        try:
            await self._producer.start()
            restored = await checkpoint.restore(
                gained,
                self._machine,
                self._settings,
                source=self.source,
                state=self.state,
                wanted=wanted,
                report=self._report,
            )
            if restored is not None:
                await self._write_over(restored, wanted)
                if wanted():
                    self._adopt(restored)
        finally:
            for partition in gained - self._owned:
                self._forget(partition)

    async def _write_over(self, restored: checkpoint.Restored, wanted: Callable[[], bool]) -> None:
        """See to what stands behind newer records, and follow what others still write there."""

        async def put_right(noun: str, partition: int, foreign: Sequence[Record]) -> bool:
            if wanted():
                await self._write_again(partition, self._machine.correct(partition, noun, foreign))
            return wanted()

        for partition, messages in restored.overtaken.items():
            if wanted():
                await self._write_again(partition, Effects(snapshots=messages))
                await self._write_again(partition, self._machine.repeat(partition))
        await self.guard.watch(restored.starts, restored.read, put_right)

    def _adopt(self, restored: checkpoint.Restored) -> None:
        """Take batches from now on: all that was kept or restored is guarded."""
        self.figures.restored += restored.records
        self.figures.restore_seconds += restored.seconds
        self._owned |= set(restored.starts)
        self._positions.begin(restored.starts, int(time.time() * 1000))
        self._taking = True

    async def _correct(self, noun: str, partition: int, foreign: Sequence[Record]) -> bool:
        """Put right what another worker wrote behind newer records, in rule order.

        Returns whether there is nothing left to do: in the middle of a rebalance there is, later.
        What is put right is as of what is durable: were it ahead of that, whoever comes next would
        repeat older effects behind it.
        """
        async with self._applying:
            await self._finisher.idle()
            if partition not in self.owned:
                return partition not in self._owned
            with suppress(LeaseLost):
                await self._write_again(partition, self._machine.correct(partition, noun, foreign))
            return True

    async def _write_again(self, partition: int, effects: Effects) -> None:
        written = [*effects.outputs.values(), effects.snapshots]
        if any(written):
            self.figures.corrected += sum(map(len, written))
            await self._finish(partition, effects)

    def _abandon(self) -> None:
        self._taking = False
        self._generation = Generation(-1, "")

    def _forget(self, partition: int) -> None:
        self._machine.forget(partition)
        self._finisher.forget(partition)
        self.guard.leave([partition])
        self._positions.forget(partition)

    async def _finish(self, partition: int, effects: Effects) -> None:
        outputs = await self._producer.send_outputs(partition, effects.outputs)
        await self._finisher.add(partition, effects, outputs)

    async def _apply(self, batch: Batch) -> None:
        partition, records = batch.partition, batch.records
        batch.follow(self._positions.applied[partition])
        self._positions.see(batch)
        for effects in self._step(partition, records):
            await self._finish(partition, effects)
        self._positions.move(batch)
        self.figures.events += len(records)
        self.figures.batches += 1

    def _step(self, partition: int, records: Any) -> Iterator[Effects]:
        steps = self._machine.process(partition, records)
        while True:
            began = time.perf_counter()
            effects = next(steps, None)
            self.figures.seconds += time.perf_counter() - began
            if effects is None:
                return
            yield effects

    async def _deliver_state(self, partition: int, messages: Any) -> None:
        signed = self.guard.sign(partition, messages)
        await self._producer.deliver(self.state, partition, signed)
