"""What a profile says: all of it can be encoded as JSON."""

from __future__ import annotations

from datetime import datetime

import msgspec

__all__ = [
    "Currency",
    "EventName",
    "FieldProfile",
    "Gap",
    "Lateness",
    "Many",
    "Orders",
    "Profile",
]


class EventName(msgspec.Struct, frozen=True):
    """One kind of event.

    Parameters
    ----------
    name
        The type, or of a ``track`` event its name.
    known
        Whether the core knows what it means.
    events
        How many.
    missing
        Path to the share of these events that lack it, for what some have and others lack.
    """

    name: str
    known: bool
    events: int
    missing: dict[str, float]


class FieldProfile(msgspec.Struct, frozen=True):
    """One field, wherever it stands.

    Parameters
    ----------
    path
        Such as ``properties.products[].price``.
    events
        Events that have it, ``null`` not counted.
    types
        JSON type to how many values.
    distinct
        Different values; from some thousands on an estimate, 2 % off.
    low, high
        Range of its numbers, written as numbers or as text.
    longest
        Characters of its longest text.
    blank
        Texts with nothing but blanks, or that begin or end with one.
    nothing
        Texts such as ``null`` and ``undefined``.
    """

    path: str
    events: int
    types: dict[str, int]
    distinct: int
    low: float | None
    high: float | None
    longest: int
    blank: int
    nothing: int


class Gap(msgspec.Struct, frozen=True):
    """Hours in which nobody did anything."""

    since: datetime
    until: datetime
    hours: int


class Lateness(msgspec.Struct, frozen=True):
    """How far events come behind the newest before them.

    Parameters
    ----------
    events
        Events that are late at all.
    within
        Such as ``1 hour`` to how many are no later than that; each counts once.
    worst_days
        Of the latest one.
    """

    events: int
    within: dict[str, int]
    worst_days: float


class Many(msgspec.Struct, frozen=True):
    """Customers, or items: how many there are and how events spread over them.

    Parameters
    ----------
    count
        Different ones; `complete` says whether that is all.
    complete
        False where there were too many to remember; those that came later are not in `count`.
    events
        Events that name one.
    median, most
        Events of one: of the one in the middle, and of the busiest.
    alike
        Ids that differ from another in capitals or blanks only.
    """

    count: int
    complete: bool
    events: int
    median: float
    most: int
    alike: int


class Currency(msgspec.Struct, frozen=True):
    """Orders in one currency; ``""`` where none is named."""

    currency: str
    orders: int
    revenue: float


class Orders(msgspec.Struct, frozen=True):
    """What is paid and given back.

    Parameters
    ----------
    orders, refunds
        How many of each.
    worthless
        Orders worth nothing or less.
    unnamed
        Orders without an ``order_id``.
    repeated
        Orders whose ``order_id`` stood there before, in another message.
    currencies
        By how many orders.
    """

    orders: int
    refunds: int
    worthless: int
    unnamed: int
    repeated: int
    currencies: list[Currency]


class Profile(msgspec.Struct, frozen=True):
    """What is in a history.

    Parameters
    ----------
    records, events
        Records read, and those that the core accepts.
    rejected
        Reason to how many it does not.
    first, last
        Event times.
    names
        By how many events.
    fields
        In the order of their paths.
    customers, items
        Of the events accepted.
    known, anonymous
        Events with a ``userId``, and those with an ``anonymousId`` alone.
    shared
        Most customers that one ``anonymousId`` stands with.
    same_id, same_content
        Events whose ``messageId`` stood there before, and those of another ``messageId`` that say
        the same at the same time.
    unnamed
        Events without a ``messageId``.
    days
        Date to events, all days from the first to the last.
    hours
        Events by hour of the day, UTC.
    gaps
        The longest.
    lateness
        In the order of the file, or of each partition.
    orders
        See `Orders`.
    findings
        Sentences on what to look at, the gravest first.
    repairs
        Rule to the events that are cleaned by it, or would be where they are only observed.
    rows
        Of a table: why rows were left out, and what is odd about them, to how many.
    """

    records: int
    events: int
    rejected: dict[str, int]
    first: datetime | None
    last: datetime | None
    names: list[EventName]
    fields: list[FieldProfile]
    customers: Many
    items: Many
    known: int
    anonymous: int
    shared: int
    same_id: int
    same_content: int
    unnamed: int
    days: dict[str, int]
    hours: list[int]
    gaps: list[Gap]
    lateness: Lateness
    orders: Orders
    findings: list[str]
    repairs: dict[str, int] = {}
    rows: dict[str, int] = {}
