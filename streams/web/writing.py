"""Events onto the log for many requests at once: acknowledged once Kafka has them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import structlog

from crm_online.errors import CrmOnlineError
from streams.producer import OutputProducer
from streams.topics import partition_count
from streams.web.problems import Problem

if TYPE_CHECKING:
    from crm_online.log import Message
    from crm_online.settings import Settings
    from streams.roles.web import WebRole

__all__ = ["EventWriter"]

GATHER_SECONDS: Final = 0.005
DELIVERY_SECONDS: Final = 10.0
RETRY_SECONDS: Final = 1.0
IN_FLIGHT_BYTES: Final = 64 * 2**20

_log = structlog.get_logger(__name__)


class EventWriter:
    """Gathers what requests bring in five milliseconds, and writes it in record batches.

    Unlike a role's outputs these records do not depend on each other: a failed delivery fails the
    requests that wait for it, whose clients send again, and a new producer is made. What was
    delivered all the same is told apart by its `messageId`.

    Parameters
    ----------
    settings
        Of the whole program.
    role
        Told whether Kafka is there, and how many events it has taken.
    most_bytes
        That may be on their way to Kafka, beside `intake_max_in_flight_events`.
    """

    def __init__(
        self, settings: Settings, role: WebRole, most_bytes: int = IN_FLIGHT_BYTES
    ) -> None:
        self.partitions = 0
        self._settings = settings
        self._role = role
        self._topic = settings.topic("events")
        self._producer: OutputProducer | None = None
        self._waiting: dict[int, list[Message]] = {}
        self._lot: asyncio.Future[None] | None = None
        self._lots: set[asyncio.Task[None]] = set()
        self._broken = asyncio.Event()
        self._most_bytes = most_bytes
        self._events = self._bytes = 0  # in flight

    async def run(self) -> None:
        """Keep a producer until cancelled."""
        try:
            while True:
                try:
                    await self._connect()
                    await self._broken.wait()
                except CrmOnlineError as error:
                    _log.warning("the intake waits for Kafka", reason=str(error))
                self._role.state, self._role.waits_for = "waiting", "Kafka"
                await self._disconnect()
                await asyncio.sleep(RETRY_SECONDS)
        finally:
            await asyncio.gather(*self._lots, return_exceptions=True)
            await self._disconnect()

    async def write(self, messages: Sequence[tuple[int, Message]]) -> None:
        """Write records to their partitions; when it returns, Kafka has all of them.

        Raises
        ------
        Problem
            429 where too many are under way, 503 where Kafka does not take them.
        """
        if self._producer is None:
            raise _away()
        count, size = len(messages), sum(len(each.value or b"") for _, each in messages)
        if self._full(count, size):
            raise Problem(
                429, "busy", "too many events are on their way: try later", {"retry-after": "1"}
            )
        for partition, message in messages:
            self._waiting.setdefault(partition, []).append(message)
        lot = self._gather()
        self._set_out(count, size)
        lot.add_done_callback(lambda _: self._set_out(-count, -size))
        try:
            await asyncio.wait_for(asyncio.shield(lot), DELIVERY_SECONDS)
        except (TimeoutError, CrmOnlineError) as error:
            raise _away() from error
        self._role.accepted += count

    def _full(self, count: int, size: int) -> bool:
        """Whether these would be too many: never where nothing else is under way."""
        most = self._settings.intake_max_in_flight_events
        many = self._events + count > most or self._bytes + size > self._most_bytes
        return bool(self._events) and many

    def _set_out(self, count: int, size: int) -> None:
        self._events += count
        self._bytes += size

    def _gather(self) -> asyncio.Future[None]:
        if self._lot is None:
            self._lot = asyncio.get_running_loop().create_future()
            self._lot.add_done_callback(_retrieve)
            task = asyncio.ensure_future(self._flush(self._lot))
            self._lots.add(task)
            task.add_done_callback(self._lots.discard)
        return self._lot

    async def _flush(self, lot: asyncio.Future[None]) -> None:
        await asyncio.sleep(GATHER_SECONDS)
        waiting, self._waiting, self._lot = self._waiting, {}, None
        try:
            await self._deliver(waiting)
        except Exception as error:  # noqa: BLE001 - whatever it is, those who wait must hear of it
            if not isinstance(error, CrmOnlineError):
                _log.warning("events were not delivered", reason=repr(error))
            self._broken.set()
            lot.set_exception(CrmOnlineError("not delivered"))
        else:
            lot.set_result(None)

    async def _deliver(self, waiting: dict[int, list[Message]]) -> None:
        producer = self._producer
        if producer is None:
            raise CrmOnlineError("no producer")
        futures: list[asyncio.Future[Any]] = []
        for partition, messages in waiting.items():
            futures += await producer.send(self._topic, partition, messages)
        await asyncio.gather(*futures)

    async def _connect(self) -> None:
        self.partitions = await asyncio.to_thread(partition_count, self._settings, "events")
        self._broken.clear()
        producer = OutputProducer(self._settings, lambda _: self._broken.set())
        await producer.start()
        self._producer = producer
        self._role.state, self._role.waits_for = "running", ""

    async def _disconnect(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            await producer.stop()


def _away() -> Problem:
    return Problem(
        503,
        "kafka-away",
        "Kafka has not taken these events: send them again, under the same messageId",
        {"retry-after": "2"},
    )


def _retrieve(lot: asyncio.Future[None]) -> None:
    """Keep asyncio from complaining about a failure that nobody waited for any more."""
    if not lot.cancelled():
        lot.exception()
