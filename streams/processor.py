"""The keyed processor: reads batches of a log, steps a machine, makes its effects durable."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from crm_online.errors import BrokerUnavailable
from crm_online.log import Effects, Machine, Message, Record
from crm_online.settings import Settings
from streams import checkpoint
from streams.batches import Batch, Generation
from streams.figures import Figures
from streams.finisher import Finisher
from streams.guard import Guard
from streams.lease import LeaseLost
from streams.producer import OutputProducer
from streams.topics import SINGLE_PARTITION

__all__ = ["Processor"]

# Faust gives a worker a minute to let go of its partitions before the group goes on without it.
IDLE_SECONDS: Final = 50.0


class Processor:
    """Drives a machine over one topic, exactly once in effect.

    Per batch: outputs delivered, then snapshots, then the partition's own record, then the
    acknowledgement. What fails on the way ends the process, and the batch is read again.

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
        self._finisher = Finisher(self._deliver_state, settings.max_in_flight_events, stop)
        self._applying = asyncio.Lock()
        self._taking = False
        self._round = 0
        self._generation = Generation(-1, "")
        self._owned: set[int] = set()
        self._starts: dict[int, int] = {}
        self._applied: dict[int, int] = {}
        self._ends: dict[int, int] = {}
        self._newest: dict[int, int] = {}
        self.restoring = (0, 0)

    @property
    def owned(self) -> frozenset[int]:
        """Partitions whose state is held and whose batches are taken."""
        return frozenset(self._owned) if self._taking else frozenset()

    def newest(self, partition: int) -> int | None:
        """Kafka timestamp of the last record applied, in milliseconds since 1970."""
        return self._newest.get(partition)

    def lag(self) -> int:
        """Return how many records of the partitions held are known of and not applied."""
        return sum(
            max(end - self._applied.get(partition, 0), 0)
            for partition, end in self._ends.items()
            if partition in self._owned
        )

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
        self._round += 1
        try:
            async with asyncio.timeout(IDLE_SECONDS):
                async with self._applying:
                    pass
                await self._finisher.idle()
        except TimeoutError:
            self._abandon()
            self._stop(
                BrokerUnavailable(
                    f"effects of {self.source} were not delivered within {IDLE_SECONDS:.0f} s of a "
                    "rebalance: check the broker, or lower CRM_MAX_IN_FLIGHT_EVENTS"
                )
            )

    async def restore(self, generation: Generation, partitions: frozenset[int]) -> None:
        """Restore what is new; keep what was ours in the generation just before this one."""
        current = self._round
        kept = self._owned & partitions if self._follows(generation) else set()
        for partition in self._owned - kept:
            self._forget(partition)
        self._owned, self._generation = kept, generation
        try:
            await self._producer.start()
            restored = await checkpoint.restore(
                partitions - kept,
                self._machine,
                self._settings,
                source=self.source,
                state=self.state,
                wanted=lambda: self._round == current,
                report=self._report,
            )
            await self._adopt(restored, partitions - kept)
            self._taking = self._round == current
        except LeaseLost:
            self._abandon()
        except Exception as error:  # noqa: BLE001 - whatever it is, no event may be applied
            self._stop(error)

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
        progress = self._finisher.progress
        return {p: max(self._starts[p], progress.get(p, -1) + 1) for p in self._owned}

    def _report(self, records: int, left: int) -> None:
        self.restoring = records, left

    def _follows(self, generation: Generation) -> bool:
        before = self._generation
        return generation == Generation(before.number + 1, before.member)

    async def _adopt(
        self, restored: checkpoint.Restored | None, partitions: frozenset[int]
    ) -> None:
        if restored is None:
            for partition in partitions:
                self._machine.forget(partition)
            return
        self.figures.restored += restored.records
        self.figures.restore_seconds += restored.seconds
        self._starts |= restored.starts
        self._applied |= restored.starts
        self._owned |= partitions
        for partition, messages in restored.overtaken.items():
            if messages:
                await self._finisher.add(partition, Effects(snapshots=messages), [])
        self._newest |= dict.fromkeys(partitions, int(time.time() * 1000))  # idle since now
        await self.guard.watch(partitions, restored.read, self._put_right)

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
                await self._put_right(noun, partition, foreign)
            return True

    async def _put_right(self, noun: str, partition: int, foreign: Sequence[Record]) -> bool:
        effects = self._machine.correct(partition, noun, foreign)
        corrected = [*effects.outputs.values(), effects.snapshots]
        if any(corrected):
            self.figures.corrected += sum(map(len, corrected))
            await self._finisher.add(partition, effects, await self._send(partition, effects))
        return True

    def _abandon(self) -> None:
        self._taking = False
        self._generation = Generation(-1, "")

    def _forget(self, partition: int) -> None:
        self._machine.forget(partition)
        self._finisher.forget(partition)
        self.guard.leave([partition])
        for each in (self._starts, self._applied, self._ends, self._newest):
            each.pop(partition, None)

    async def _apply(self, batch: Batch) -> None:
        partition, records = batch.partition, batch.records
        self._ends[partition] = batch.end
        for effects in self._step(partition, records):
            await self._finisher.add(partition, effects, await self._send(partition, effects))
        self._applied[partition] = records[-1].offset + 1
        self._newest[partition] = records[-1].timestamp
        self.figures.events += len(records)
        self.figures.batches += 1

    async def _send(self, partition: int, effects: Effects) -> list[asyncio.Future[Any]]:
        return [
            future
            for noun, messages in effects.outputs.items()
            for future in await self._producer.send(
                self._settings.topic(noun), 0 if noun in SINGLE_PARTITION else partition, messages
            )
        ]

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
