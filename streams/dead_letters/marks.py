"""Places of records, and the records of put-backs that stand among the dead letters."""

from __future__ import annotations

import re
from typing import Final, Literal, NamedTuple

import msgspec

from crm_online.errors import ConfigurationError, SnapshotError
from crm_online.log import Message, Record

__all__ = ["PUT_BACK", "Mark", "Place", "parse_place", "read_mark"]

PUT_BACK: Final = "crm_put_back"
_PLACE: Final = re.compile(r"(?:([\w.-]+)\[(\d{1,9})\]|(\d{1,9}))@(\d{1,18})", re.ASCII)


class Place(NamedTuple):
    """Where a record was read before it was refused.

    Examples
    --------
    >>> str(Place("crm.events", 3, 17))
    'crm.events[3]@17'
    """

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}[{self.partition}]@{self.offset}"

    @property
    def short(self) -> str:
        """The place without its topic, as ``3@17``."""
        return f"{self.partition}@{self.offset}"


def parse_place(text: str, topic: str) -> Place:
    """Read a place as people write it: in full, or without the topic.

    Parameters
    ----------
    text
        Such as ``crm.events[3]@17``, or ``3@17``, which no shell takes for a pattern.
    topic
        The one that a short place means.

    Raises
    ------
    ConfigurationError
        Where it is neither.

    Examples
    --------
    >>> parse_place("3@17", "crm.events") == parse_place("crm.events[3]@17", "crm.events")
    True
    """
    found = _PLACE.fullmatch(text.strip())
    if found is None:
        raise ConfigurationError(
            f"{text!r} is no place of a record: write {topic}[3]@17, or 3@17 for short, as "
            "`crm-online dead-letters list` shows it"
        )
    named, partition, short, offset = found.groups()
    return Place(named or topic, int(partition or short), int(offset))


class Mark(msgspec.Struct, frozen=True):
    """How far the put-back of a letter has come: the value of its record.

    Parameters
    ----------
    state
        ``begun`` is written before the event is appended, ``done`` after it is durable.
    letter
        Digest of the rejected bytes: a place means another record where its topic was made anew.
    partition, offset
        Of the events topic: where the event goes, and an offset at or before its own.
    version
        Of this format.
    """

    state: Literal["begun", "done"]
    letter: str
    partition: int
    offset: int
    version: int = 1

    def message(self, place: Place) -> Message:
        """Make the record of it."""
        return Message(None, _encode(self), [(PUT_BACK, str(place).encode())])


_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(Mark).decode


def read_mark(partition: int, record: Record, place: bytes) -> tuple[Place, Mark]:
    """Read the record of a put-back.

    Parameters
    ----------
    partition
        Of the dead letters.
    record
        As it stands there.
    place
        Its header `PUT_BACK`.

    Raises
    ------
    SnapshotError
        Where this version cannot read it.
    """
    try:
        mark = _decode(record.value or b"")
        if mark.version == 1:
            return parse_place(place.decode(), ""), mark
    except (msgspec.MsgspecError, UnicodeDecodeError, ConfigurationError):
        pass
    raise SnapshotError(
        f"the record of a put-back at [{partition}]@{record.offset} of the dead letters cannot be "
        "read: a newer version wrote it; install that version"
    )
