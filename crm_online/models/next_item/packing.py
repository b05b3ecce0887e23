"""Queries into flat arrays for the kernels, and their lists back into names."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np

from crm_online.models.next_item.layout import SESSION_LENGTH, Int32, Int64, Lists, PackedQueries
from crm_online.models.next_item.queries import Candidate, Query

__all__ = ["hash_customer", "name_lists", "pack_queries"]

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
    """Pack queries, leaving out items that the index does not know.

    Parameters
    ----------
    queries
        Open sessions, of which the last 16 known items count.
    numbers
        Item numbers by name.
    """
    sessions = [
        [numbers[item] for item in query.items if item in numbers][-SESSION_LENGTH:]
        for query in queries
    ]
    excluded = [[numbers[item] for item in query.exclude if item in numbers] for query in queries]
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


def _flatten(rows: Sequence[Sequence[int]]) -> tuple[Int32, Int64]:
    flat = np.array([number for row in rows for number in row], np.int32)
    return flat, np.cumsum([0, *map(len, rows)], dtype=np.int64)


def name_lists(lists: Lists, names: Sequence[str]) -> list[list[Candidate]]:
    """Turn ranked numbers into candidates.

    Parameters
    ----------
    lists
        Of Q queries, k items each at most.
    names
        Item names by number.
    """
    columns = (column.tolist() for column in lists)
    return [
        [
            Candidate(
                names[item],
                score,
                SOURCES[source],
                tuple([names[number] for number in because if number]),
            )
            for item, score, source, because in zip(*row, strict=True)
            if source
        ]
        for row in zip(*columns, strict=True)
    ]
