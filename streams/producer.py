"""The one producer through which a worker writes: in order, acknowledged, watched."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from crm_online.errors import BrokerUnavailable, ConfigurationError, CrmOnlineError
from crm_online.log import Message
from crm_online.settings import Settings
from streams.connection import client_options

__all__ = ["OutputProducer"]

BATCH_BYTES: Final = 256 * 1024


class OutputProducer:
    """Writes messages in record batches; the first failed delivery ends the worker.

    aiokafka lets a batch expire even when idempotent, and sends the ones queued behind it. Readers
    skip what they applied by the highest mark they saw, so a gap would be a loss: nothing
    may be written after a failure.

    Parameters
    ----------
    settings
        Where Kafka is.
    on_failure
        Called once, with the first failure; must end the process.
    """

    def __init__(
        self,
        settings: Settings,
        on_failure: Callable[[BaseException], None],
    ) -> None:
        self._settings = settings
        self._on_failure = on_failure
        self._order: defaultdict[tuple[str, int], asyncio.Lock] = defaultdict(asyncio.Lock)
        self._producer: Any = None
        self._failure: BaseException | None = None

    async def start(self) -> None:
        """Connect.

        Raises
        ------
        BrokerUnavailable
            Where no broker answers, or it refuses us.
        """
        producer = AIOKafkaProducer(
            **client_options(self._settings),
            enable_idempotence=True,
            acks="all",
            max_batch_size=BATCH_BYTES,
        )
        try:
            await producer.start()
        except KafkaError as error:
            await producer.stop()
            raise BrokerUnavailable(
                f"cannot write to Kafka at {self._settings.kafka} ({error}): check CRM_KAFKA"
            ) from error
        self._producer = producer

    async def stop(self) -> None:
        """Deliver what was sent, and disconnect."""
        if self._producer is not None:
            producer, self._producer = self._producer, None
            await producer.stop()

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
            One for each record batch; done when all replicas have it.
        """
        if not messages:
            return []
        async with self._order[topic, partition]:
            return [
                self._watch(await self._hand_over(batch, topic, partition), topic, partition, size)
                for batch, size in self._pack(messages)
            ]

    async def deliver(self, topic: str, partition: int, messages: Sequence[Message]) -> None:
        """Send, and return when all of it is delivered."""
        await asyncio.gather(*await self.send(topic, partition, messages))

    def _running(self) -> Any:
        if self._failure is not None:
            raise self._failure
        if self._producer is None:
            raise BrokerUnavailable("the producer is not running")
        return self._producer

    def _pack(self, messages: Sequence[Message]) -> Iterator[tuple[Any, int]]:
        create = self._running().create_batch
        batch = create()
        for key, value, given in messages:
            headers = list(given)  # aiokafka's compiled builder takes nothing else
            if batch.append(timestamp=None, key=key, value=value, headers=headers) is None:
                yield batch, batch.size()
                batch = create()
                batch.append(timestamp=None, key=key, value=value, headers=headers)
        batch.close()
        yield batch, batch.size()

    async def _hand_over(self, batch: Any, topic: str, partition: int) -> asyncio.Future[Any]:
        try:
            future: asyncio.Future[Any] = await self._running().send_batch(
                batch, topic, partition=partition
            )
        except KafkaError as error:
            self._fail(_explain(error, topic, partition, batch.size()))
            raise
        return future

    def _watch(
        self, future: asyncio.Future[Any], topic: str, partition: int, size: int
    ) -> asyncio.Future[Any]:
        def check(done: asyncio.Future[Any]) -> None:
            error = None if done.cancelled() else done.exception()
            if error is not None:
                self._fail(_explain(error, topic, partition, size))

        future.add_done_callback(check)
        return future

    def _fail(self, error: BaseException) -> None:
        if self._failure is None:
            self._failure = error
            self._on_failure(error)


def _explain(error: BaseException, topic: str, partition: int, size: int) -> CrmOnlineError:
    where = f"{topic}[{partition}]"
    if isinstance(error, MessageSizeTooLargeError):
        found: CrmOnlineError = ConfigurationError(
            f"{where} refused {size} bytes in one record: raise max.message.bytes of the topic"
        )
    else:
        found = BrokerUnavailable(f"{where} was not written ({error!r}): check the broker")
    found.__cause__ = error
    return found
