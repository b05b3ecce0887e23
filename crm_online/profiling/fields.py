"""Fields of raw events, whatever they are: where they stand, their types and ranges."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

from crm_online.profiling.counting import Distinct
from crm_online.profiling.report import FieldProfile

__all__ = ["Fields"]

MOST_PATHS: Final = 500  # whoever puts data into names of fields must not fill the memory
DEEPEST: Final = 8
NOTHING: Final = frozenset({"null", "undefined", "none", "nan", "n/a", "(not set)"})
_TYPES: Final = {str: "text", int: "whole number", float: "number", bool: "true or false"}


class _Field:
    """One path."""

    def __init__(self) -> None:
        self.events = self._last = 0
        self.types: Counter[str] = Counter()
        self.low, self.high = float("inf"), float("-inf")
        self.longest = self.blank = self.nothing = 0
        self._distinct = Distinct()

    def see(self, event: int, value: Any) -> None:
        self.events += self._last != event
        self._last = event
        self.types[_TYPES.get(type(value), "other")] += 1
        self._distinct.see(str(value))
        if isinstance(value, str):
            self._see_text(value)
        elif not isinstance(value, bool):
            self._see_number(float(value))

    def _see_text(self, text: str) -> None:
        self.longest = max(self.longest, len(text))
        bare = text.strip()
        self.blank += bare != text or not text
        self.nothing += bare.lower() in NOTHING
        if bare[:1].isdigit() or bare[:1] in {"-", "."}:
            try:
                self._see_number(float(bare))
            except ValueError:
                return

    def _see_number(self, number: float) -> None:
        self.low, self.high = min(self.low, number), max(self.high, number)

    def profile(self, path: str) -> FieldProfile:
        numbers = self.low <= self.high
        return FieldProfile(
            path,
            self.events,
            dict(self.types.most_common()),
            self._distinct.count(),
            self.low if numbers else None,
            self.high if numbers else None,
            self.longest,
            self.blank,
            self.nothing,
        )


class Fields:
    """Takes note of all fields of raw events.

    Examples
    --------
    >>> fields = Fields()
    >>> sorted(fields.see({"userId": "ann", "properties": {"price": "9.5", "sku": None}}))
    ['properties.price', 'userId']
    >>> fields.profiles()[0].types, fields.profiles()[0].high
    ({'text': 1}, 9.5)
    """

    def __init__(self) -> None:
        self._fields: dict[str, _Field] = {}
        self._events = 0

    def see(self, event: dict[str, Any]) -> set[str]:
        """Take one decoded event; returns the paths that it has, ``null`` not counted."""
        self._events += 1
        paths = set[str]()
        for path, value in _flat(event, "", DEEPEST):
            field = self._fields.get(path)
            if field is None:
                if len(self._fields) >= MOST_PATHS:
                    continue
                field = self._fields[path] = _Field()
            field.see(self._events, value)
            paths.add(path)
        return paths

    def profiles(self) -> list[FieldProfile]:
        """Return them in the order of their paths."""
        return [field.profile(path) for path, field in sorted(self._fields.items())]


def _flat(value: Any, path: str, depth: int) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        if depth:
            for name, inner in value.items():
                yield from _flat(inner, f"{path}.{name}" if path else name, depth - 1)
    elif isinstance(value, list):
        if depth:
            for inner in value:
                yield from _flat(inner, f"{path}[]", depth - 1)
    elif value is not None:
        yield path, value
