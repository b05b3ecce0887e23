"""A Kafka client that leaves what it fetches where the socket put it."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Iterator
from typing import Any, Final

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import CorrelationIdError, CorruptRecordException
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.record.default_records import DefaultRecordBatch
from aiokafka.record.legacy_records import LegacyRecordBatch

__all__ = ["FetchClient", "unpack"]

NAME_BYTES: Final = 249  # of a topic at most
_SIZE: Final = struct.Struct(">i")
# Of any batch: its first offset, how many bytes follow, an epoch or a checksum, its version.
_BATCH: Final = struct.Struct(">qiib")
_LENGTH_END: Final = struct.calcsize(">qi")
_SMALLEST: Final = 14  # bytes that follow, in the oldest version
_VERSION_2: Final = 2


def unpack(content: memoryview) -> Iterator[Any]:
    """Return the record batches of a fetch, as aiokafka's ``MemoryRecords`` does, without a copy.

    The last one may be cut off; then it is left out.

    Raises
    ------
    CorruptRecordException
        Where a batch says that it is shorter than any can be.
    """
    at = 0
    while at + _BATCH.size <= len(content):
        _, length, _, version = _BATCH.unpack_from(content, at)
        if length < _SMALLEST:
            raise CorruptRecordException(f"a record batch of {length} bytes")
        batch = content[at : at + _LENGTH_END + length]
        at += _LENGTH_END + length
        if at > len(content):
            return
        yield (
            DefaultRecordBatch(batch)
            if version >= _VERSION_2
            else LegacyRecordBatch(batch, version)
        )


class FetchClient(AIOKafkaClient):  # type: ignore[misc]  # aiokafka ships no types
    """aiokafka's client, but the contents of a fetch are views of memory that is used again.

    They are good until the answer after the next is asked for on that connection. The streams of
    asyncio and aiokafka's schemas would copy each byte four times more, into fresh memory.
    """

    async def _get_conn(self, node_id: int, **options: Any) -> Any:
        connection = await super()._get_conn(node_id, **options)
        if connection is not None:  # connected and signed in
            transport = connection._writer.transport  # noqa: SLF001 - has no public name
            former = transport.get_protocol()
            if not isinstance(former, _InPlace):
                transport.set_protocol(_InPlace(connection, former))
        return connection


class _InPlace(asyncio.BufferedProtocol):
    """Receives for a connection of aiokafka, whose own protocol only hears of its end."""

    def __init__(self, connection: Any, former: asyncio.BaseProtocol) -> None:
        self._connection = connection
        self._former = former
        # Two: one is filled while the batches of the other are taken.
        self._rooms = [bytearray(), bytearray()]
        self._size = self._into = memoryview(bytearray(_SIZE.size))
        self._filled = 0

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's signature
        return self._into[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        self._filled += nbytes
        if self._filled < len(self._into):
            return
        full, self._filled = self._into, 0
        if full is self._size:
            self._into = self._room(*_SIZE.unpack(full))
        else:
            self._into = self._size
            self._hand_over(full)

    def connection_lost(self, exc: Exception | None) -> None:
        self._former.connection_lost(exc)

    def _room(self, size: int) -> memoryview:
        if not self._fetches():
            return memoryview(bytearray(size))
        self._rooms.reverse()
        if len(self._rooms[0]) < size:
            self._rooms[0] = bytearray(size)
        return memoryview(self._rooms[0])[:size]

    def _fetches(self) -> bool:
        _, request, _ = self._connection._requests[0]  # noqa: SLF001 - answers come in this order
        return bool(request.API_KEY == FetchRequest.API_KEY)

    def _hand_over(self, frame: memoryview) -> None:
        """Do for a fetch what the connection's own ``_handle_frame`` does with copies."""
        if not self._fetches():
            self._connection._handle_frame(bytes(frame))  # noqa: SLF001 - what it would do itself
            return
        waiting = self._connection._requests  # noqa: SLF001
        correlation_id, request, answer = waiting[0]
        reader = _Reader(frame)
        if request.parse_response_header(reader).correlation_id != correlation_id:
            raise CorrelationIdError  # ends the connection, and so all that wait
        found = request.RESPONSE_TYPE.decode(reader)
        waiting.popleft()
        if not answer.done():
            answer.set_result(found)


class _Reader:
    """What aiokafka's schemas ask of a ``BytesIO``; only contents are not copied."""

    def __init__(self, frame: memoryview) -> None:
        self._frame = frame
        self._at = 0

    def read(self, size: int) -> bytes | memoryview:
        begin, self._at = self._at, self._at + size
        found = self._frame[begin : self._at]
        return found if size > NAME_BYTES else bytes(found)
