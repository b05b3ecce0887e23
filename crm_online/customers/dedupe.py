"""The ring of message ids that makes a duplicate event change nothing but a counter."""

from __future__ import annotations

import struct
from functools import lru_cache
from hashlib import blake2b
from typing import Final

__all__ = ["DAY_SECONDS", "RING", "is_duplicate", "remember"]

RING: Final = 32
DAY_SECONDS: Final = 86_400
ENTRY: Final = struct.Struct(">8sI")
LAST: Final = 2**32 - 1  # in 2106; whatever comes later counts as of then


@lru_cache(maxsize=1)  # an event's id is first looked for, then remembered
def _digest(message_id: str) -> bytes:
    return blake2b(message_id.encode("utf-8", "surrogatepass"), digest_size=8).digest()


def is_duplicate(ring: bytes, message_id: str, now: float) -> bool:
    """Tell whether a message id was remembered within the last 24 hours of event time.

    Parameters
    ----------
    ring
        As `remember` returned it.
    message_id
        Of the event; an empty one is never a duplicate.
    now
        The later of the event's time and the customer's last, seconds.

    Examples
    --------
    >>> ring = remember(b"", "m-1", 1_700_000_000.0)
    >>> is_duplicate(ring, "m-1", 1_700_000_060.0), is_duplicate(ring, "m-2", 1_700_000_060.0)
    (True, False)
    >>> is_duplicate(ring, "m-1", 1_700_000_000.0 + 25 * 3600)
    False
    >>> is_duplicate(remember(b"", "m-1", 2.5e11), "m-1", 2.5e11)  # the year 9999
    True
    """
    if not ring or not message_id:
        return False
    digest = _digest(message_id)
    found = ring.find(digest)
    while found >= 0:
        if found % ENTRY.size == 0:
            at: int = ENTRY.unpack_from(ring, found)[1]
            if min(now, LAST) - at <= DAY_SECONDS:
                return True
        found = ring.find(digest, found + 1)
    return False


def remember(ring: bytes, message_id: str, now: float) -> bytes:
    """Add a message id, dropping those older than 24 hours and all but the newest 32.

    Parameters
    ----------
    ring
        Entries of twelve bytes, oldest first: hash, then seconds since 1970.
    message_id
        Of the event.
    now
        The customer's last event time, seconds; never falls.

    Returns
    -------
    bytes
        The new ring.
    """
    size = ENTRY.size
    start = max(0, len(ring) - (RING - 1) * size)
    while start < len(ring) and now - ENTRY.unpack_from(ring, start)[1] > DAY_SECONDS:
        start += size
    return ring[start:] + ENTRY.pack(_digest(message_id), min(int(now), LAST))
