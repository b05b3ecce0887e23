"""How a producer of aiokafka is dropped with all it holds: it has no way of its own to do that."""

from __future__ import annotations

import asyncio
from itertools import chain
from typing import Any, Final

from streams.lease import LeaseLost

__all__ = ["cut_off", "discard"]

CLOSING_SECONDS: Final = 1.0  # for what is under way


def cut_off(producer: Any) -> None:
    """Let a producer of aiokafka send nothing more, and take in nothing more."""
    producer._closed = True  # noqa: SLF001 - no way to stop without sending what it holds
    for connection in producer.client._conns.values():  # noqa: SLF001 - as above
        if connection.connected():
            connection._writer.transport.abort()  # noqa: SLF001 - else what is half sent goes on
    _fail_queued(producer._message_accumulator)  # noqa: SLF001 - as above


async def discard(producer: Any) -> None:
    """Close a producer of aiokafka that was cut off, as its `stop` would."""
    sender = producer._sender.sender_task  # noqa: SLF001 - its `close` waits for what is under way
    while not sender.done():
        sender.cancel()
        await asyncio.wait([sender], timeout=CLOSING_SECONDS)
    accumulator = producer._message_accumulator  # noqa: SLF001 - as above
    _fail_queued(accumulator)  # what came back from being under way
    for batch in accumulator._pending_batches:  # noqa: SLF001 - as above
        batch.failure(LeaseLost())
        batch.future.exception()
    await producer.client.close()


def _fail_queued(accumulator: Any) -> None:
    """Fail what is not under way, and whoever waits for room behind it."""
    queues, error = accumulator._batches, LeaseLost()  # noqa: SLF001 - as above
    for batch in chain(*queues.values()):
        # What failed once is queued again, and aiokafka takes it to be pending when it is done.
        accumulator._pending_batches.add(batch)  # noqa: SLF001 - as above
        batch.failure(error)
        batch.future.exception()  # or asyncio complains that nobody asked
        batch._drain_waiter.exception()  # noqa: SLF001 - as above
    queues.clear()
    accumulator._exception = error  # noqa: SLF001 - as above
