"""Whole partitions of a topic read by librdkafka, whose threads fetch while Python applies."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Self

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition

from crm_online.errors import BrokerUnavailable
from crm_online.log import LogRecord
from streams.connection import admin_options

if TYPE_CHECKING:
    from crm_online.settings import Settings

__all__ = ["BulkReader"]

AT_ONCE: Final = 10_000
WAIT_SECONDS: Final = 0.5
# What is fetched ahead of Python, in records of a partition and in kilobytes of all.
AHEAD: Final[dict[str, object]] = {
    "queued.min.messages": 100_000,
    "queued.max.messages.kbytes": 65_536,
    "fetch.message.max.bytes": 4 * 1024 * 1024,
    "fetch.wait.max.ms": 100,
}


class BulkReader:
    """Reads partitions of one topic from their beginnings to given ends; blocks while it waits.

    aiokafka takes twice the CPU time for a record, and asks the broker for more only once all that
    it had is handed out. Blocking, this belongs in a thread of its own.

    Parameters
    ----------
    settings
        Where Kafka is.
    topic
        In full.
    ends
        Partition to the offset behind the last record wanted.
    """

    def __init__(self, settings: Settings, topic: str, ends: Mapping[int, int]) -> None:
        self.left: Final = {partition: end for partition, end in ends.items() if end > 0}
        self._ends: Final = dict(self.left)
        self._topic = topic
        self._kafka = settings.kafka
        self._consumer = Consumer(
            admin_options(settings)
            | AHEAD
            | {
                "group.id": f"{settings.app}.bulk",  # it wants a name, and joins no group
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "isolation.level": "read_uncommitted",
                "enable.partition.eof": True,
                "check.crcs": False,
                "log_level": 0,
            }
        )

    def __enter__(self) -> Self:
        """Begin to fetch."""
        places = [TopicPartition(self._topic, p, OFFSET_BEGINNING) for p in self.left]
        self._consumer.assign(places)
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of the connections."""
        self._consumer.close()

    def read(self) -> dict[int, list[LogRecord]]:
        """Return what has come, by partition; nothing where half a second brings nothing.

        Afterwards `left` holds how many offsets each unfinished partition still has before it.

        Raises
        ------
        BrokerUnavailable
            Where the broker refuses to let us read.
        """
        found: defaultdict[int, list[LogRecord]] = defaultdict(list)
        messages: list[Any] = self._consumer.consume(AT_ONCE, WAIT_SECONDS)
        for message in messages:
            error = message.error()
            if error is not None:
                self._take_error(error, message.partition())
                continue
            headers = message.headers() or ()
            found[message.partition()].append(
                LogRecord(message.offset(), 0, message.key(), message.value(), headers)
            )
        for partition, records in found.items():
            self._pass(partition, records[-1].offset + 1)
        return found

    def _take_error(self, error: KafkaError, partition: int) -> None:
        # Compaction and control records leave offsets without a record, also the last ones.
        if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - its name
            self._pass(partition, self._ends[partition])
        elif not error.retriable():
            raise BrokerUnavailable(
                f"{self._topic} cannot be read at {self._kafka} ({error.str()}): check CRM_KAFKA "
                "and what its user may read"
            )

    def _pass(self, partition: int, offset: int) -> None:
        if offset >= self._ends[partition]:
            self.left.pop(partition, None)
        elif partition in self.left:
            self.left[partition] = self._ends[partition] - offset
