"""Queries into flat arrays for the kernels, and their lists back into names."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

import numpy as np

from crm_online.models.next_item.layout import (
    BECAUSE,
    SESSION_LENGTH,
    Int32,
    Int64,
    Lists,
    PackedQueries,
)
from crm_online.models.next_item.queries import Candidate, Query

__all__ = ["hash_customer", "name_lists", "pack_queries", "strangers_of"]

_REASONS = np.dtype((np.void, 4 * BECAUSE))  # a row of numbers as one hashable value
SOURCES = ("", "session-neighbours", "covisitation", "trending")


@lru_cache(maxsize=2**16)
def hash_customer(customer: str) -> int:
    """Hash a customer id to 64 bits, alike in every process.

    Examples
    --------
    >>> hash_customer("ann")
    11957940740637538957
    """
    name = customer.encode(errors="surrogatepass")
    return int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "little")


def pack_queries(queries: Sequence[Query], numbers: Mapping[str, int]) -> PackedQueries:
    """Pack queries; strangers, the items that the index does not know, under negative numbers.

    Parameters
    ----------
    queries
        Open sessions, of which the last 16 items count.
    numbers
        Item numbers by name.
    """
    sessions, excluded = [], []
    for query in queries:
        newest = query.items[-SESSION_LENGTH:]
        session = [numbers.get(item, 0) for item in newest]
        out = [numbers[item] for item in query.exclude if item in numbers]
        if 0 in session:
            lent = {name: -1 - place for place, name in enumerate(strangers_of(query, numbers))}
            session = [number or lent[item] for item, number in zip(newest, session, strict=True)]
            out += [number for item, number in lent.items() if item in query.exclude]
        sessions.append(session)
        excluded.append(out)
    items, item_bounds = _flatten(sessions)
    excluded_items, excluded_bounds = _flatten(excluded)
    return PackedQueries(
        customers=np.array([hash_customer(query.customer) for query in queries], np.uint64),
        sessions=np.array([query.session for query in queries], np.int64),
        items=items,
        item_bounds=item_bounds,
        excluded=excluded_items,
        excluded_bounds=excluded_bounds,
    )


def strangers_of(query: Query, numbers: Mapping[str, int]) -> list[str]:
    """Return the names that -1, -2 … stand for in a packed query."""
    newest = query.items[-SESSION_LENGTH:]
    return list(dict.fromkeys(item for item in newest if item not in numbers))


def _flatten(rows: Sequence[Sequence[int]]) -> tuple[Int32, Int64]:
    flat = np.array([number for row in rows for number in row], np.int32)
    return flat, np.cumsum([0, *map(len, rows)], dtype=np.int64)


def name_lists(
    lists: Lists, names: Sequence[str], stranger: Callable[[int, int], str]
) -> list[list[Candidate]]:
    """Turn ranked numbers into candidates.

    Parameters
    ----------
    lists
        Of Q queries, k items each at most.
    names
        Item names by number.
    stranger
        From the row of a list and a negative number to the item's name.
    """
    rows = zip(
        lists.items.tolist(),
        lists.scores.tolist(),
        lists.sources.tolist(),
        lists.because.view(_REASONS)[..., 0].tolist(),
        strict=True,
    )
    reasons: dict[bytes, tuple[str, ...]] = {}
    named = []
    for row, (items, scores, sources, codes) in enumerate(rows):
        end = sources.index(0) if 0 in sources else len(sources)
        called = [names[item] if item > 0 else stranger(row, item) for item in items[:end]]
        becauses = _reasons_of(codes[:end], row, names, stranger, reasons)
        known = list(map(Candidate, called, scores, map(SOURCES.__getitem__, sources), becauses))
        # A stranger may have been forgotten meanwhile.
        named.append(known if all(called) else [each for each in known if each.item])
    return named


def _reasons_of(
    codes: Sequence[bytes],
    row: int,
    names: Sequence[str],
    stranger: Callable[[int, int], str],
    known: dict[bytes, tuple[str, ...]],
) -> list[tuple[str, ...]]:
    """Name the reasons of a list; what reads the same in other rows becomes known."""
    found = []
    for code in codes:
        because = known.get(code)
        if because is None:
            because, lasting = _name_reasons(code, row, names, stranger)
            if lasting:
                known[code] = because
        found.append(because)
    return found


def _name_reasons(
    code: bytes, row: int, names: Sequence[str], stranger: Callable[[int, int], str]
) -> tuple[tuple[str, ...], bool]:
    """Name what led to an item; tells whether it reads the same in other rows."""
    numbers = [number for number in np.frombuffer(code, np.int32).tolist() if number]
    because = tuple([names[n] if n > 0 else stranger(row, n) for n in numbers])
    return because, all(number > 0 for number in numbers)
