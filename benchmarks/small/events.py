"""Events of the small job: seeded, 200 bytes of JSON each, numbered by where they stand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from crm_online.log import Message

__all__ = ["PLACES", "Events", "generate"]

PLACES: Final = 1_000_000_000  # id = partition * PLACES + offset
START: Final = 1_700_000_000.0
SECONDS_BETWEEN: Final = 0.05
ORDERED: Final = 0.1
KINDS: Final = ("Product Viewed", "Order Completed")
AGENT: Final = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0)"


class Events(NamedTuple):
    """One partition's events.

    Parameters
    ----------
    messages
        To be put on an empty partition, in order.
    counts
        By offset: how many events of its customer there are up to and with this one, which is what
        an output must say.
    """

    messages: list[Message]
    counts: npt.NDArray[np.int64]


def generate(events: int, customers: int, partitions: int, seed: int = 7) -> Iterator[Events]:
    """Generate events, a partition at a time.

    Parameters
    ----------
    events, customers
        How many in all; each partition has an equal share of both.
    partitions
        How many.
    seed
        Equal arguments give equal events to the byte.

    Examples
    --------
    >>> first, second = generate(20, 4, partitions=2)
    >>> len(first.messages), first.messages[0].value == second.messages[0].value
    (10, False)
    """
    for partition in range(partitions):
        random = np.random.default_rng((seed, partition))
        size = events // partitions
        who = random.integers(max(customers // partitions, 1), size=size)
        amounts = np.round(random.exponential(20.0, size), 2).tolist()
        orders = (random.random(size) < ORDERED).tolist()
        messages, counts, seen = [], np.zeros(size, np.int64), dict[int, int]()
        for offset, number in enumerate(who.tolist()):
            counts[offset] = seen[number] = seen.get(number, 0) + 1
            customer = f"c{partition}-{number:06d}"
            place = partition * PLACES + offset
            value = _value(place, customer, offset, amounts[offset], ordered=orders[offset])
            messages.append(Message(customer.encode(), value))
        yield Events(messages, counts)


def _value(place: int, customer: str, offset: int, amount: float, *, ordered: bool) -> bytes:
    at = START + SECONDS_BETWEEN * offset
    return (
        f'{{"id":{place},"customer":"{customer}","type":"track","event":"{KINDS[ordered]}",'
        f'"at":{at:.3f},"amount":{amount},"order":{"true" if ordered else "false"},'
        f'"context":{{"userAgent":"{AGENT}"}}}}'
    ).encode()
