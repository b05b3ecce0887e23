"""How often each rule was applied, and to events of which library."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

import msgspec

from crm_online.items import MAX_ID_LENGTH
from crm_online.log import Record

__all__ = ["OTHERS", "UNKNOWN", "Repairs", "source_of"]

UNKNOWN: Final = "unknown"
OTHERS: Final = "(others)"
MOST_SOURCES: Final = 50  # told apart: names are the senders' own


class _Library(msgspec.Struct, frozen=True, gc=False):
    name: str = UNKNOWN


class _Context(msgspec.Struct, frozen=True, gc=False):
    library: _Library = _Library()


class _Sent(msgspec.Struct, frozen=True, gc=False):
    context: _Context = _Context()


_decode: Final = msgspec.json.Decoder(_Sent).decode


def source_of(raw: bytes) -> str:
    """Return the name of the library that sent an event.

    Examples
    --------
    >>> source_of(b'{"context": {"library": {"name": "analytics.js"}}}'), source_of(b"{}")
    ('analytics.js', 'unknown')
    """
    try:
        name = _decode(raw).context.library.name
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return UNKNOWN
    return name[:MAX_ID_LENGTH] if name.isprintable() and name else UNKNOWN


class Repairs(Counter[tuple[str, str]]):
    """Rule and source to how many events it was applied to.

    Examples
    --------
    >>> from crm_online.log import LogRecord
    >>> repairs = Repairs()
    >>> repairs.count([(LogRecord(0, 0, None, b"{}"), ("number-text",))])
    >>> dict(repairs)
    {('number-text', 'unknown'): 1}
    """

    def count(self, cleaned: Iterable[tuple[Record, tuple[str, ...]]]) -> None:
        """Take events that were cleaned, and the rules that each of them took."""
        for record, rules in cleaned:
            source = source_of(record.value or b"")
            known = {known for _, known in self}
            if source not in known and len(known) >= MOST_SOURCES:
                source = OTHERS
            self.update((rule, source) for rule in rules)
