"""Whole partitions of a topic, read as record batches: no object is made per record but its own."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, Self

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError, for_code
from aiokafka.protocol.fetch import FetchRequest

from crm_online.errors import BrokerUnavailable
from streams.connection import client_options
from streams.fetching import FetchClient, unpack

if TYPE_CHECKING:
    from crm_online.log import Record
    from crm_online.settings import Settings

__all__ = ["BulkReader"]

AT_ONCE_BYTES: Final = 4 * 1024 * 1024  # a request takes .4 ms, whatever it brings
WAIT_SECONDS: Final = 0.5
READ_UNCOMMITTED: Final = 0


class BulkReader:
    """Reads partitions of one topic from their beginnings to given ends; blocks while it waits.

    aiokafka's consumer makes a record in Python, which takes longer than all the rest of a restore.
    So this asks for batches itself, each broker for the next ones before the last are handed out,
    and takes what aiokafka's compiled parser makes of them where they arrived. Blocking, this
    belongs in a thread.

    Parameters
    ----------
    settings
        Where Kafka is.
    topic
        In full.
    spans
        Partition to its first offset and the one behind the last record wanted.
    """

    def __init__(
        self, settings: Settings, topic: str, spans: Mapping[int, tuple[int, int]]
    ) -> None:
        self._next = {partition: begin for partition, (begin, end) in spans.items() if begin < end}
        self._ends: Final = {partition: spans[partition][1] for partition in self._next}
        self._topic = topic
        self._settings = settings
        self._runner = asyncio.Runner()
        self._client: Any = None
        self._asked: dict[asyncio.Task[Any], tuple[int, set[int]]] = {}

    @property
    def left(self) -> int:
        """How many offsets are still before us."""
        return sum(self._ends[partition] - at for partition, at in self._next.items())

    def __enter__(self) -> Self:
        """Return itself; the first read connects."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of the connections."""
        self._runner.run(self._close())
        self._runner.close()

    def read(self) -> dict[int, Iterator[Record]]:
        """Return what has come, by partition; nothing where half a second brings nothing.

        A record is made when it is its turn: the last one's memory is still at hand for it. All
        must be taken before the next read, which uses the memory they are made from again.

        Raises
        ------
        BrokerUnavailable
            Where the broker refuses to let us read.
        """
        try:
            return self._runner.run(self._read())
        except KafkaError as error:
            raise BrokerUnavailable(
                f"{self._topic} cannot be read at {self._settings.kafka} ({error!r}): check "
                "CRM_KAFKA and what its user may read"
            ) from error

    async def _open(self) -> None:
        # An idle connection is none of a client's that only fetches: nothing is to watch for it.
        options = client_options(self._settings) | {"connections_max_idle_ms": None}
        self._client = FetchClient(**options)
        await self._client.bootstrap()
        await self._client.set_topics([self._topic])

    async def _close(self) -> None:
        for task in self._asked:
            task.cancel()
        await asyncio.gather(*self._asked, return_exceptions=True)
        if self._client is not None:
            await self._client.close()

    async def _read(self) -> dict[int, Iterator[Record]]:
        if self._client is None:
            await self._open()
        self._ask()
        if not self._asked:  # no broker leads what is left, for now
            await self._look_again()
            return {}
        done, _ = await asyncio.wait(
            self._asked, timeout=WAIT_SECONDS, return_when=asyncio.FIRST_COMPLETED
        )
        found: dict[int, Iterator[Record]] = {}
        for task in done:
            del self._asked[task]
            for partition, batches in (await self._answer(task)).items():
                found[partition] = chain.from_iterable(batches)
        self._ask()
        await asyncio.sleep(0)  # so that the broker works while these are applied
        return found

    def _ask(self) -> None:
        """Ask every leader that is not busy for what comes next."""
        busy = {None, -1, *(leader for leader, _ in self._asked.values())}
        asked = {partition for _, partitions in self._asked.values() for partition in partitions}
        wanted: defaultdict[int, set[int]] = defaultdict(set)
        for partition in self._next.keys() - asked:
            place = TopicPartition(self._topic, partition)
            leader = self._client.cluster.leader_for_partition(place)
            if leader not in busy:
                wanted[leader].add(partition)
        for leader, partitions in wanted.items():
            answer = asyncio.ensure_future(self._client.send(leader, self._request(partitions)))
            self._asked[answer] = leader, partitions

    def _request(self, partitions: Iterable[int]) -> FetchRequest:
        places = [(partition, self._next[partition], AT_ONCE_BYTES) for partition in partitions]
        wait = int(WAIT_SECONDS * 1000 / 2)
        topics = [(self._topic, places)]
        return FetchRequest(wait, 1, AT_ONCE_BYTES, READ_UNCOMMITTED, topics, rack_id="")

    async def _answer(self, task: asyncio.Task[Any]) -> dict[int, list[Any]]:
        """Return the batches of an answer, by partition, and move on behind them."""
        try:
            answer = task.result()
        except KafkaError:  # of the connection
            await self._look_again()
            return {}
        found, moved = {}, False
        for partition, code, *_, content in chain.from_iterable(p for _, p in answer.topics):
            error = for_code(code)
            if not error.errno:
                found[partition] = list(self._unpack(partition, content))
            elif error.retriable or error.invalid_metadata:
                moved = True
            else:
                raise error
        if moved:
            await self._look_again()
        return found

    def _unpack(self, partition: int, content: bytes | memoryview) -> Iterator[Any]:
        # Compaction and control records leave offsets without a record, also the last ones.
        for batch in unpack(memoryview(content)):
            self._next[partition] = batch.next_offset
            if not batch.is_control_batch:
                yield batch
        if self._next[partition] >= self._ends[partition]:
            del self._next[partition]

    async def _look_again(self) -> None:
        """Find out who leads now."""
        await asyncio.sleep(WAIT_SECONDS / 5)
        await asyncio.wait([self._client.force_metadata_update()], timeout=WAIT_SECONDS)
