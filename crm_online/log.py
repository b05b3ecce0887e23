"""Records of a log as they are read, and the effects of a batch as they are written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

__all__ = [
    "Effects",
    "Header",
    "LogRecord",
    "Machine",
    "Message",
    "Origin",
    "Record",
    "Restore",
]

Header = tuple[str, bytes]


class Record(Protocol):
    """What the core asks of one consumed record; aiokafka's ``ConsumerRecord`` fits."""

    @property
    def offset(self) -> int:
        """Position in its partition."""

    @property
    def timestamp(self) -> int:
        """Kafka timestamp, milliseconds since 1970."""

    @property
    def key(self) -> bytes | None:
        """Customer id, or a reserved key that begins with a zero byte."""

    @property
    def value(self) -> bytes | None:
        """Content; ``None`` is a tombstone."""

    @property
    def headers(self) -> Sequence[Header]:
        """Names and values, in order."""


class LogRecord(NamedTuple):
    """One record of a log, for use without Kafka.

    Parameters
    ----------
    offset
        Position in its partition.
    timestamp
        Kafka timestamp in milliseconds since 1970.
    key, value, headers
        As Kafka carries them; a value of ``None`` is a tombstone.
    """

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[Header] = ()


class Message(NamedTuple):
    """One record to be written; its topic and partition come from where it stands."""

    key: bytes | None
    value: bytes | None
    headers: Sequence[Header] = ()


class Origin(NamedTuple):
    """Which log offsets are of: a topic that was made anew under the old name is another one.

    Parameters
    ----------
    topic
        Its name.
    topic_id
        Kafka's id of it (KIP-516); ``""`` where the broker tells none.
    partitions
        How many it has; 0 where nobody knows.
    """

    topic: str
    topic_id: str = ""
    partitions: int = 0


@dataclass(slots=True)
class Effects:
    """All that one batch of one partition causes, in the order it must become durable.

    Parameters
    ----------
    outputs
        Topic noun (``"scores"``, ``"outcomes"`` …) to its messages: delivered first.
    snapshots
        Changed customers for the state topic: delivered second.
    progress
        The partition's own record for the state topic: delivered last.
    as_of
        Offset of the last record that is fully applied.
    events
        How many records were read for this.
    """

    outputs: dict[str, list[Message]] = field(default_factory=dict)
    snapshots: list[Message] = field(default_factory=list)
    progress: Message | None = None
    as_of: int = -1
    events: int = 0


class Restore(Protocol):
    """The state of one partition while it is read back from its compacted topic."""

    def apply(self, records: Iterable[Record]) -> int:
        """Take records of the state topic, in any order; the highest ``as_of`` of a key wins.

        Returns how many there were.
        """

    def finish(self, origin: Origin | None = None) -> int:
        """Return the offset of the source partition to go on from; 0 is its beginning.

        Raises
        ------
        SnapshotError
            Where `origin`, the log that is there, is not the one the state was made from.
        """

    def remarks(self) -> Sequence[Header]:
        """Return the headers of the partition's own record that counts."""

    def overtaken(self) -> list[Message]:
        """Return, after `finish`, what must be written again over older records behind it."""


class Machine(Protocol):
    """A keyed step machine: what `score` and `act` are to the processor that drives them."""

    def restore(self, partition: int) -> Restore:
        """Begin to restore a partition, forgetting what was held of it."""

    def forget(self, partition: int) -> None:
        """Drop all that is held of a partition."""

    def process(self, partition: int, records: Sequence[Record]) -> Iterator[Effects]:
        """Apply one batch; yields its effects in the slices they must be delivered in."""

    def correct(self, partition: int, noun: str, records: Sequence[Record]) -> Effects:
        """Return what must be written because another worker wrote these behind newer ones."""

    def repeat(self, partition: int) -> Effects:
        """Return, after a restore, what must be written again over what may stand behind it.

        A customer's snapshot may come from further on in the log than the partition's own record.
        Its outputs are there as well; but whoever held the partition in between, and had not yet
        seen the snapshot, may have repeated older ones behind them.
        """
