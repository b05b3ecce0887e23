"""Dead letters as they stand on their topic: each rejected record once, and what was put back."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final

from crm_online.log import Record
from streams.dead_letters.marks import PUT_BACK, Mark, Place, read_mark

__all__ = ["Letter", "Letters"]

_ERRORS: Final = "__streams.errors."


@dataclass(slots=True)
class Letter:
    """One rejected record.

    Parameters
    ----------
    place
        Where it was read.
    partition, offset, timestamp
        Of the dead letter; milliseconds since 1970.
    reason, message
        Why it was refused.
    kept, size
        Bytes that the letter holds, and that the record had.
    digest
        Of the bytes kept.
    put_back
        How many times it was put back.
    begun
        Put-backs since then that nobody finished.
    """

    place: Place
    partition: int
    offset: int
    timestamp: int
    reason: str
    message: str
    kept: int
    size: int
    digest: str
    put_back: int = 0
    begun: list[Mark] = field(default_factory=list)

    @property
    def truncated(self) -> bool:
        """Whether only the first part of the record was kept."""
        return self.size > self.kept

    def message_id(self) -> str:
        """Name its next put-back: the same for every attempt, so that a repeat is a duplicate."""
        text = f"{self.place} {self.digest} {self.put_back}"
        return f"put-back-{blake2b(text.encode(), digest_size=16).hexdigest()}"


class Letters:
    """All letters on the topic, by the place of the rejected record.

    A scorer that died may have refused a record twice: that is one letter.
    """

    def __init__(self) -> None:
        self._found: dict[Place, Letter] = {}
        self._marks: defaultdict[tuple[Place, str], list[Mark]] = defaultdict(list)
        self.foreign = 0

    def apply(self, partition: int, records: Sequence[Record]) -> None:
        """Take records of one partition of the topic, in order.

        Raises
        ------
        SnapshotError
            At a put-back that this version cannot read.
        """
        for record in records:
            headers = dict(record.headers)
            if PUT_BACK in headers:
                place, mark = read_mark(partition, record, headers[PUT_BACK])
                self._marks[place, mark.letter].append(mark)
            else:
                self._take(_read_letter(partition, record, headers))

    def get(self, place: Place) -> Letter | None:
        """Return the letter of a place."""
        letter = self._found.get(place)
        return None if letter is None else self._marked(letter)

    def newest_first(self) -> Iterator[Letter]:
        """Iterate over all letters."""
        for letter in sorted(
            self._found.values(), key=lambda each: (each.timestamp, each.offset), reverse=True
        ):
            yield self._marked(letter)

    def _take(self, letter: Letter | None) -> None:
        if letter is None:
            self.foreign += 1
            return
        # The last of several: retention leaves it longest.
        self._found[letter.place] = letter

    def _marked(self, letter: Letter) -> Letter:
        letter.put_back, letter.begun = 0, []
        for mark in self._marks.get((letter.place, letter.digest), ()):
            if mark.state == "done":
                letter.put_back += 1
                letter.begun = []
            else:
                letter.begun.append(mark)
        return letter


def _read_letter(partition: int, record: Record, headers: dict[str, bytes]) -> Letter | None:
    """Return None for what is no dead letter of this program."""
    value = record.value or b""
    try:
        return Letter(
            Place(
                headers[f"{_ERRORS}topic"].decode(),
                int(headers[f"{_ERRORS}partition"]),
                int(headers[f"{_ERRORS}offset"]),
            ),
            partition,
            record.offset,
            record.timestamp,
            headers[f"{_ERRORS}exception"].decode().rpartition(":")[2],
            headers[f"{_ERRORS}message"].decode(),
            len(value),
            int(headers.get(f"{_ERRORS}truncated", len(value))),
            blake2b(value, digest_size=16).hexdigest(),
        )
    except (KeyError, ValueError):
        return None
