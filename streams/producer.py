"""The one producer through which a worker writes: in order, acknowledged, watched."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError, NodeNotReadyError
from aiokafka.protocol.produce import ProduceRequest

from crm_online.errors import BrokerUnavailable, ConfigurationError, CrmOnlineError
from crm_online.log import Message
from crm_online.settings import Settings
from streams.connection import client_options
from streams.deliveries import Deliveries, Place
from streams.discarding import cut_off, discard
from streams.lease import Lease, LeaseLost
from streams.topics import SINGLE_PARTITION

__all__ = ["OutputProducer"]

BATCH_BYTES: Final = 256 * 1024
PATIENCE_SECONDS: Final = 40.0  # aiokafka's own


class OutputProducer:
    """Writes messages in record batches; the first failed delivery ends the worker.

    aiokafka lets a batch expire even when idempotent, and sends the ones queued behind it. Readers
    skip what they applied by the highest mark they saw, so a gap would be a loss: nothing
    may be written after a failure. Without the lease a failure ends nothing: all that was
    handed over is dropped, and `start` begins anew.

    Parameters
    ----------
    settings
        Where Kafka is.
    on_failure
        Called once, with the first failure; must end the process.
    lease
        Nothing leaves without it; ``None`` for whoever writes without being in a group.
    patience_seconds
        How long a write may wait for its broker before it has failed.
    """

    def __init__(
        self,
        settings: Settings,
        on_failure: Callable[[BaseException], None],
        lease: Lease | None = None,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self.deliveries: Final = Deliveries()
        self.delivered = 0
        self._settings = settings
        self._on_failure = on_failure
        self._lease = lease
        self._patience = patience_seconds
        self._order: defaultdict[Place, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._producer: Any = None
        self._waiting: set[asyncio.Future[Any]] = set()
        self._handing: set[asyncio.Future[Any]] = set()
        self._abandoned: set[Any] = set()
        self._failure: BaseException | None = None
        self._discarding: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Connect, unless we are; after `abandon` this begins anew.

        Raises
        ------
        BrokerUnavailable
            Where no broker answers, or it refuses us.
        """
        if self._producer is not None:
            return
        producer = AIOKafkaProducer(
            **client_options(self._settings),
            enable_idempotence=True,
            acks="all",
            request_timeout_ms=int(self._patience * 1000),
            max_batch_size=BATCH_BYTES,
        )
        try:
            await producer.start()
        except KafkaError as error:
            await producer.stop()
            raise BrokerUnavailable(
                f"cannot write to Kafka at {self._settings.kafka} ({error}): check CRM_KAFKA"
            ) from error
        self._hold_back(producer)
        self._producer = producer

    async def stop(self) -> None:
        """Deliver what was sent, unless the lease is gone, and disconnect."""
        if self._without_lease():
            self.abandon()
        if self._producer is not None:
            producer, self._producer = self._producer, None
            await producer.stop()
        if self._discarding is not None:
            await self._discarding

    def abandon(self) -> None:
        """Send nothing more of what was handed over; who waits for it gets `LeaseLost`, at once.

        Closing takes its time, and nobody may have to wait for that: who waits may hold up a
        rebalance.
        """
        if self._producer is not None:
            producer, self._producer = self._producer, None
            self._abandoned.add(producer)
            self._order.clear()
            cut_off(producer)
            for delivery in self._waiting:
                _fail(delivery, LeaseLost())
            self._waiting.clear()
            for sending in self._handing:
                sending.cancel()
            self._discarding = asyncio.create_task(self._discard(producer, self._discarding))

    async def send(
        self, topic: str, partition: int, messages: Sequence[Message]
    ) -> list[asyncio.Future[Any]]:
        """Hand messages over for delivery, in the order of the calls.

        Parameters
        ----------
        topic, partition
            Where to.
        messages
            In order; one record batch holds up to 256 KB of them, or one that is larger.

        Returns
        -------
        list of asyncio.Future
            One for each record batch; done with its offset and time when all replicas have it.
        """
        if not messages:
            return []
        place, producer = (topic, partition), self._running()
        async with self._order[place]:
            self._check(producer)
            return [
                await self._hand_over(producer, place, batch)
                for batch in _pack(messages, producer.create_batch)
            ]

    async def send_outputs(
        self, partition: int, outputs: Mapping[str, Sequence[Message]]
    ) -> list[asyncio.Future[Any]]:
        """Send to topics, given by their nouns: to this partition, or to the only one they have."""
        return [
            future
            for noun, messages in outputs.items()
            for future in await self.send(
                self._settings.topic(noun), 0 if noun in SINGLE_PARTITION else partition, messages
            )
        ]

    async def deliver(self, topic: str, partition: int, messages: Sequence[Message]) -> None:
        """Send, and return when all of it is delivered."""
        await asyncio.gather(*await self.send(topic, partition, messages))

    async def _discard(self, producer: Any, before: asyncio.Task[None] | None) -> None:
        await discard(producer)
        self._abandoned.discard(producer)
        if before is not None:
            await before

    def _running(self) -> Any:
        if self._failure is not None:
            raise self._failure
        if self._producer is None and self._discarding is not None:
            raise LeaseLost
        if self._producer is None:
            raise BrokerUnavailable("the producer is not running")
        return self._producer

    def _check(self, producer: Any) -> None:
        """Raise unless this producer is still the one that writes."""
        if self._running() is not producer:
            raise LeaseLost

    async def _hand_over(self, producer: Any, place: Place, batch: Any) -> asyncio.Future[Any]:
        size, count = batch.size(), batch.record_count()
        batch.close()
        # A task, so that `abandon` can end its waiting: for metadata, or for room.
        sending = asyncio.ensure_future(producer.send_batch(batch, place[0], partition=place[1]))
        self._handing.add(sending)
        try:
            await asyncio.wait([sending])
        finally:
            sending.cancel()
            self._handing.discard(sending)
        if sending.cancelled():
            raise LeaseLost
        error = sending.exception()
        if error is not None:
            raise self._judge(error, producer, place, size) from error
        sent: asyncio.Future[Any] = sending.result()
        delivery = asyncio.get_running_loop().create_future()
        self._waiting.add(delivery)

        def check(done: asyncio.Future[Any]) -> None:
            self._waiting.discard(delivery)
            error = LeaseLost() if done.cancelled() else done.exception()
            if error is None:
                self.delivered += count
                self.deliveries.add(place, done.result().offset, count)
            else:
                error = self._judge(error, producer, place, size)
            if error is not None:
                _fail(delivery, error)
            elif not delivery.done():
                delivery.set_result(done.result())

        sent.add_done_callback(check)
        self.deliveries.begin(place, sent)
        self._check(producer)  # we may have waited for room
        return delivery

    def _judge(self, error: BaseException, producer: Any, place: Place, size: int) -> BaseException:
        """Fail at a write that failed, unless the lease is lost: all is dropped then."""
        if self._without_lease() and producer is self._producer:
            self.abandon()  # at once: what is queued behind it would leave a gap
        if isinstance(error, LeaseLost) or producer in self._abandoned:
            return LeaseLost()
        self._fail(_explain(error, place, size))
        return error

    def _without_lease(self) -> bool:
        lease = self._lease
        return lease is not None and (not lease.granted or lease.lapsed())

    def _hold_back(self, producer: Any) -> None:
        """Let no record batch leave without the lease: the last place before the socket."""
        lease, client = self._lease, producer.client
        if lease is None:
            return
        send = client.send

        async def send_with_lease(node: Any, request: Any, **options: Any) -> Any:
            if isinstance(request, ProduceRequest):
                await client.ready(node, **options)  # else there is a wait behind the question
                if producer is not self._producer or not lease.holds():
                    raise NodeNotReadyError("nothing is sent without the group's lease")
            return await send(node, request, **options)

        client.send = send_with_lease

    def _fail(self, error: BaseException) -> None:
        if self._failure is None:
            self._failure = error
            self._on_failure(error)


def _pack(messages: Sequence[Message], create: Callable[[], Any]) -> Iterator[Any]:
    batch = create()
    for key, value, given in messages:
        headers = list(given)  # aiokafka's compiled builder takes nothing else
        if batch.append(timestamp=None, key=key, value=value, headers=headers) is None:
            yield batch
            batch = create()
            batch.append(timestamp=None, key=key, value=value, headers=headers)
    yield batch


def _fail(delivery: asyncio.Future[Any], error: BaseException) -> None:
    if not delivery.done():
        delivery.set_exception(error)
        delivery.exception()  # or asyncio complains where nobody asks


def _explain(error: BaseException, place: Place, size: int) -> CrmOnlineError:
    where = f"{place[0]}[{place[1]}]"
    if isinstance(error, MessageSizeTooLargeError):
        found: CrmOnlineError = ConfigurationError(
            f"{where} refused {size} bytes in one record: raise max.message.bytes of the topic"
        )
    else:
        found = BrokerUnavailable(f"{where} was not written ({error!r}): check the broker")
    found.__cause__ = error
    return found
