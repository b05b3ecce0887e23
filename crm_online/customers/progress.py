"""The partition's own record: where a new owner goes on, and on which log."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from crm_online.errors import ConfigurationError, SnapshotError
from crm_online.internal import PROGRESS_KEY
from crm_online.log import Message, Origin

__all__ = ["Progress", "next_epoch", "progress_message", "read_progress"]

PROGRESS_VERSION: Final = 1
LAST_EPOCH: Final = 127  # what one byte of a snapshot's prefix holds


class Progress(msgspec.Struct):
    """The partition's own record: where a new owner goes on.

    Parameters
    ----------
    version
        Of this record's layout.
    epoch
        Of the source topic.
    as_of
        Offset of the last record applied; -1: none.
    watermark
        Highest event time so far, seconds.
    lag
        How far the newest event's time was behind its Kafka timestamp, seconds.
    events, rejected, duplicates, late, too_late
        Counts since the beginning of the log.
    floor
        Snapshots and removals of lower epochs do not count: a reset has overtaken them.
    own
        What only one kind of machine counts, by name.
    topic_id, partitions
        Of the source topic: Kafka's id, ``""`` where the broker tells none, and how many
        partitions it had; 0: not known.
    """

    version: int = PROGRESS_VERSION
    epoch: int = 0
    as_of: int = -1
    watermark: float = 0.0
    lag: float | None = None
    events: int = 0
    rejected: int = 0
    duplicates: int = 0
    late: int = 0
    too_late: int = 0
    floor: int = 0
    topic_id: str = ""
    partitions: int = 0
    own: dict[str, Any] = msgspec.field(default_factory=dict)

    @property
    def place(self) -> tuple[int, int]:
        """How far in the log this is: epoch, then ``as_of``."""
        return self.epoch, self.as_of

    def is_of(self, origin: Origin) -> bool:
        """Tell whether this was made from the topic that is there, as far as is known."""
        known = self.topic_id and origin.topic_id
        return not known or self.topic_id == origin.topic_id

    def check(self, origin: Origin) -> None:
        """Refuse another log than the one this was made from; take note of what was not known.

        Raises
        ------
        SnapshotError
            Where the topic was made anew, or has another number of partitions.
        """
        if not self.is_of(origin):
            raise SnapshotError(
                f"{origin.topic} was made anew: its id is {origin.topic_id}, and the state was "
                f"made from {self.topic_id}; stop all workers and run `crm-online adopt` to go on "
                "with the state on the new topic, or `crm-online reset` to compute it anew"
            )
        if self.partitions and origin.partitions and self.partitions != origin.partitions:
            raise SnapshotError(
                f"{origin.topic} has {origin.partitions} partitions, and the state was made from "
                f"{self.partitions}: stop all workers and run `crm-online adopt`, which moves each "
                "customer to where their events go now"
            )
        self.topic_id = origin.topic_id or self.topic_id
        self.partitions = origin.partitions or self.partitions


_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(Progress).decode


def next_epoch(epoch: int) -> int:
    """Return the epoch behind another.

    Raises
    ------
    ConfigurationError
        Where a snapshot's prefix could not hold it.
    """
    if epoch >= LAST_EPOCH:
        raise ConfigurationError(
            f"epoch {LAST_EPOCH} is the last one: compute everything anew under another CRM_APP"
        )
    return epoch + 1


def progress_message(progress: Progress) -> Message:
    """Encode the partition's own record for the state topic."""
    return Message(PROGRESS_KEY, _encode(progress))


def read_progress(value: bytes) -> Progress:
    """Decode the partition's own record.

    Raises
    ------
    SnapshotError
        Where a newer version of the program wrote it, or it is none.
    """
    try:
        read = _decode(value)
    except msgspec.MsgspecError as error:
        raise SnapshotError(
            f"the state topic holds a progress record that cannot be read ({error}); check CRM_APP"
        ) from error
    if read.version > PROGRESS_VERSION:
        raise SnapshotError(
            f"the state topic was written by a newer crm-online (progress version "
            f"{read.version}); start the newer version"
        )
    return read
