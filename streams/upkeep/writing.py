"""Records written by a command: each lot durable before the next, failures raised at once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from aiokafka.errors import KafkaError

from streams.producer import OutputProducer

if TYPE_CHECKING:
    from crm_online.log import Message
    from crm_online.settings import Settings

__all__ = ["Writer", "writing"]

LOT: Final = 20_000


class Writer:
    """Writes to topics, given by their nouns.

    Parameters
    ----------
    settings
        Of the whole program.
    producer
        Started.
    failures
        What the producer reports its failures to.
    """

    def __init__(
        self, settings: Settings, producer: OutputProducer, failures: list[BaseException]
    ) -> None:
        self._settings = settings
        self._producer = producer
        self._failures = failures
        self.written = 0

    async def write(self, noun: str, partition: int, messages: Sequence[Message]) -> None:
        """Write messages in order, and return when all of them are durable."""
        topic = self._settings.topic(noun)
        try:
            for first in range(0, len(messages), LOT):
                await self._producer.deliver(topic, partition, messages[first : first + LOT])
        except KafkaError as error:
            raise (self._failures[0] if self._failures else error) from error
        self.written += len(messages)


@asynccontextmanager
async def writing(settings: Settings) -> AsyncIterator[Writer]:
    """Connect a producer for as long as the block runs.

    Parameters
    ----------
    settings
        Of the whole program.
    """
    failures: list[BaseException] = []
    producer = OutputProducer(settings, failures.append)
    await producer.start()
    try:
        yield Writer(settings, producer, failures)
    finally:
        await producer.stop()
