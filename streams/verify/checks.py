"""The comparisons: what must be there, what was found, and where the two differ."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from streams.verify.facts import differing

__all__ = ["EXAMPLES", "Check", "Tally", "check_customers", "check_equal"]

EXAMPLES: Final = 20
Name = TypeVar("Name", bound=Hashable)


@dataclass(slots=True)
class Check:
    """One thing that was compared.

    Parameters
    ----------
    name
        Of what was compared.
    expected, found
        How many there should be, and how many there are, repeats left out.
    repeated
        How often something stands there again under the same name, which readers drop.
    missing, wrong
        How many are not there; are there and should not be, or otherwise.
    differences
        A sentence on each of the first of them.
    """

    name: str
    expected: int = 0
    found: int = 0
    repeated: int = 0
    missing: int = 0
    wrong: int = 0
    differences: list[str] = field(default_factory=list)

    @property
    def exact(self) -> bool:
        """Whether nothing is missing and nothing wrong."""
        return not (self.missing or self.wrong)

    def miss(self, sentence: str) -> None:
        """Take note of something that is not there."""
        self.missing += 1
        self._tell(sentence)

    def blame(self, sentence: str) -> None:
        """Take note of something that should not be, or not so."""
        self.wrong += 1
        self._tell(sentence)

    def _tell(self, sentence: str) -> None:
        if len(self.differences) < EXAMPLES:
            self.differences.append(f"{self.name}: {sentence}")


class Tally(Generic[Name]):
    r"""Compares records, as they come, with those expected, by name.

    Parameters
    ----------
    name
        Of the check.
    expected
        Name of each record to its facts.

    Examples
    --------
    >>> tally = Tally("scores", {b"a": b"\x01", b"b": b"\x02"})
    >>> tally.see(b"a", b"\x01"), tally.see(b"a", b"\x01")
    (True, False)
    >>> check = tally.finish()
    >>> check.repeated, check.missing, check.differences
    (1, 1, ["scores: b'b' is missing"])
    """

    def __init__(self, name: str, expected: Mapping[Name, bytes]) -> None:
        self.check = Check(name, expected=len(expected))
        self._expected = expected
        self._seen: set[Name] = set()

    def see(self, name: Name, facts: bytes) -> bool:
        """Compare one record; tells whether it is the first of its name."""
        first = name not in self._seen
        self._seen.add(name)
        self.check.repeated += not first
        wanted = self._expected.get(name)
        if wanted is None:
            self.check.blame(f"{name!r} should not be there")
        elif facts != wanted:
            self.check.blame(f"{name!r} has {differing(wanted, facts)}")
        return first

    def finish(self) -> Check:
        """Return the check, with what never came."""
        self.check.found = len(self._seen)
        for name in self._expected:
            if name not in self._seen:
                self.check.miss(f"{name!r} is missing")
        return self.check


def check_customers(expected: Mapping[str, bytes], found: Mapping[str, bytes]) -> Check:
    """Compare the states of all customers, field by field."""
    tally = Tally("customer states", expected)
    for customer, facts in found.items():
        tally.see(customer, facts)
    return tally.finish()


def check_equal(name: str, expected: Mapping[str, object], found: Mapping[str, object]) -> Check:
    """Compare values that must be the same, by what they are called; bytes are not shown."""
    check = Check(name, expected=len(expected), found=len(expected.keys() & found.keys()))
    for what, wanted in expected.items():
        if what not in found:
            check.miss(f"{what} is missing")
        elif found[what] != wanted:
            shown = "" if isinstance(wanted, bytes) else f": {found[what]!r} for {wanted!r}"
            check.blame(f"{what} differs{shown}")
    return check
