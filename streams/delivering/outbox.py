"""One endpoint's consumer group over the outbox: commits what is done, and nothing before it is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Any, Final

import msgspec
import structlog
from aiokafka import ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaError

from streams.connection import MAX_POLL_SECONDS
from streams.consumer import Consumer
from streams.delivering.courier import RETRY, Courier
from streams.delivering.lanes import Lanes
from streams.delivering.ledger import Ledger
from streams.delivering.letters import Letter, of_action, of_retry, retry

if TYPE_CHECKING:
    from crm_online.endpoints import Endpoint
    from crm_online.log import Record
    from crm_online.settings import Settings
    from streams.producer import OutputProducer
    from streams.roles.tasks import Stop

__all__ = ["ACTIONS", "Outbox"]

ACTIONS: Final = "actions"
POLL_SECONDS: Final = 0.1
COMMIT_SECONDS: Final = 1.0
# Of letters that wait: how often those that hold back the commit go to the end of their topic.
CARRY_SECONDS: Final = 60.0
MOST_WAITING: Final = 10_000
# Of letters under way, for each that the endpoint takes at a time.
AHEAD: Final = 8

_log = structlog.get_logger(__name__)


class Outbox(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    """Reads actions and retries, has a courier take them, and commits what is done.

    Parameters
    ----------
    endpoint
        Whose group it is.
    courier
        Takes letters there.
    producer
        Carries letters that wait for long to the end of their topic.
    settings
        Of the whole program.
    stop
        Ends the process with a reason.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        courier: Courier,
        producer: OutputProducer,
        settings: Settings,
        stop: Stop,
    ) -> None:
        self._assigned = False
        self._endpoint = endpoint
        self._courier = courier
        self._producer = producer
        self._topics = {noun: settings.topic(noun) for noun in (ACTIONS, RETRY)}
        self._lanes: Lanes[tuple[TopicPartition, Letter]] = Lanes(self._deliver, stop)
        self._ledgers: dict[TopicPartition, Ledger] = {}
        self._waiting: list[tuple[float, TopicPartition, int, Letter]] = []
        self._committed_at = self._carried_at = time.monotonic()
        self._consumer: Any = Consumer(
            settings,
            group_id=f"{settings.app}-deliver-{endpoint.name}",
            auto_offset_reset="earliest",  # where retention was faster than we
            session_timeout_ms=int(settings.session_timeout_seconds * 1000),
            heartbeat_interval_ms=int(settings.session_timeout_seconds * 100),
            max_poll_interval_ms=int(MAX_POLL_SECONDS * 1000),
        )

    async def run(self) -> None:
        """Deliver until cancelled; what is under way by then is read again by the next."""
        self._consumer.subscribe(list(self._topics.values()), listener=self)
        try:
            await self._consumer.start()
            while True:
                await self._step()
        finally:
            self._assigned = False
            try:
                await self._let_go()
            finally:
                await self._consumer.stop()

    @property
    def joined(self) -> bool:
        """Whether the group let us in, and each partition is read from the right place."""
        return self._assigned and self._ledgers.keys() >= self._consumer.assignment()

    @property
    def busy(self) -> bool:
        """Whether no more is read until the endpoint has taken, or refused, what is under way."""
        return not all(map(self._has_room, self._ledgers))

    def positions(self) -> dict[TopicPartition, int]:
        """Return up to where partitions were read."""
        return {place: ledger.read for place, ledger in self._ledgers.items()}

    def lags(self) -> dict[TopicPartition, int]:
        """Return how many records are known of and not done with, by partition."""
        return {
            place: max(0, (self._consumer.highwater(place) or 0) - ledger.position)
            for place, ledger in self._ledgers.items()
        }

    async def on_partitions_revoked(self, _: Iterable[TopicPartition]) -> None:
        """Let go of what is under way; who gets the partitions begins with it anew."""
        await self._let_go()

    async def on_partitions_assigned(self, _: Iterable[TopicPartition]) -> None:
        """Take note that the group let us in."""
        self._assigned = True

    async def _step(self) -> None:
        try:
            new = self._consumer.assignment() - self._ledgers.keys()
            if new:
                await self._position(new)
            wanted = [place for place in self._ledgers if self._has_room(place)]
            if wanted:
                found = await self._consumer.getmany(
                    *wanted,
                    timeout_ms=int(POLL_SECONDS * 1000),
                    max_records=AHEAD * self._endpoint.concurrency,
                )
                for place, records in found.items():
                    self._read(place, records)
            else:
                await asyncio.sleep(POLL_SECONDS)
            self._begin_due()
            await self._carry()
            await self._commit(every=COMMIT_SECONDS)
        except KafkaError as error:
            _log.warning("reading actions again", endpoint=self._endpoint.name, reason=repr(error))
            await asyncio.sleep(POLL_SECONDS)

    async def _position(self, places: AbstractSet[TopicPartition]) -> None:
        """Go on at the group's commits; a new endpoint gets what is decided from now on."""
        found = await asyncio.gather(*[self._consumer.committed(place) for place in places])
        starts = {place: at for place, at in zip(places, found, strict=True) if at is not None}
        new = places - starts.keys()
        if new:
            ends = await self._consumer.end_offsets(new)
            await self._consumer.commit(ends)
            starts |= ends
        for place in starts.keys() & self._consumer.assignment():
            self._consumer.seek(place, starts[place])
            self._ledgers[place] = Ledger(starts[place])

    def _has_room(self, place: TopicPartition) -> bool:
        under_way = len(self._lanes) < AHEAD * self._endpoint.concurrency
        return under_way and (
            place.topic != self._topics[RETRY] or len(self._waiting) < MOST_WAITING
        )

    def _read(self, place: TopicPartition, records: Iterable[Record]) -> None:
        ledger = self._ledgers.get(place)
        if ledger is None:
            return  # taken away meanwhile
        for record in records:
            letter = self._letter(place, record)
            if letter is None:
                ledger.pass_over(record.offset)
                continue
            ledger.begin(record.offset)
            heappush(self._waiting, (letter.due, place, letter.offset, letter))

    def _letter(self, place: TopicPartition, record: Record) -> Letter | None:
        try:
            if place.topic == self._topics[RETRY]:
                return of_retry(place.partition, record, self._endpoint.name)
            letter = of_action(place.partition, record)
        except (msgspec.DecodeError, ValueError, KeyError) as error:
            where = f"{place.topic}[{place.partition}]@{record.offset}"
            _log.error("a record is no action and is read over", at=where, why=type(error).__name__)
            return None
        if letter is None or not self._endpoint.takes(letter.action.action, letter.action.channel):
            return None
        return letter

    def _begin_due(self) -> None:
        now = time.time()
        most = AHEAD * self._endpoint.concurrency  # so that retries leave room for what is new
        while self._waiting and self._waiting[0][0] <= now and len(self._lanes) < most:
            _, place, _, letter = heappop(self._waiting)
            self._lanes.add(letter.action.customer_id, (place, letter))

    async def _deliver(self, thing: tuple[TopicPartition, Letter]) -> None:
        place, letter = thing
        if await self._courier.take(letter) and place in self._ledgers:
            self._ledgers[place].end(letter.offset)
        self._begin_due()

    async def _carry(self) -> None:
        """Append again what waits in front of what is done, so that a crash repeats little."""
        now = time.monotonic()
        if now - self._carried_at < CARRY_SECONDS:
            return
        self._carried_at = now
        held_back = {place for place, ledger in self._ledgers.items() if ledger.passed}
        for place in held_back:
            letters = [
                letter
                for due, where, _, letter in self._waiting
                if where == place and due - time.time() > CARRY_SECONDS
            ]
            if self._ledgers[place].passed < len(letters):
                continue  # a crash would repeat less than is written here
            again = [retry(each, self._endpoint.name, each.attempt, each.due) for each in letters]
            await self._producer.deliver(place.topic, place.partition, again)
            self._forget(place, {each.offset for each in letters})

    def _forget(self, place: TopicPartition, offsets: set[int]) -> None:
        self._waiting = [e for e in self._waiting if e[1] != place or e[2] not in offsets]
        heapify(self._waiting)
        for offset in offsets:
            if place in self._ledgers:
                self._ledgers[place].end(offset)

    async def _commit(self, every: float = 0.0) -> None:
        now = time.monotonic()
        moved = {p: each for p, each in self._ledgers.items() if each.position > each.committed}
        if not moved or now - self._committed_at < every:
            return
        self._committed_at = now
        done = {place: ledger.position for place, ledger in moved.items()}
        await self._consumer.commit(done)
        for place, position in done.items():
            moved[place].committed = position

    async def _let_go(self) -> None:
        self._waiting.clear()  # or what ends meanwhile would begin the next
        await self._lanes.cancel()
        try:
            await self._commit()
        except KafkaError as error:
            _log.warning("what is done was not committed", reason=repr(error))
        self._ledgers.clear()
