"""What stands of each customer on a topic: the record with the highest order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from crm_online.scores import Source
from streams.verify.checks import Check

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crm_online.log import Record
    from streams.verify.states import States

__all__ = ["Cached", "Last", "Standing", "check_cache", "check_compacted", "check_lists"]

COLD_RECORDS: Final = 1000  # of interactions: what a follower may lag behind its topic


class _Placed(msgspec.Struct, gc=False):
    source: Source


_placed: Final = msgspec.json.Decoder(_Placed).decode
_source: Final = msgspec.json.Decoder(Source).decode
Order = tuple[int, int, int, float, int]


class Last(NamedTuple):
    """The highest order of a customer's records, and all values that came with it.

    Equal-ordered writes replace each other, so each of them may stand; ``None`` is a removal.
    """

    order: Order
    values: set[bytes | None]


class Standing:
    """Keeps the last of each customer: by order, and by where it stands on the topic."""

    def __init__(self) -> None:
        self.last: dict[str, Last] = {}
        self.final: dict[str, tuple[Order, bytes | None]] = {}

    def take(self, record: Record) -> None:
        """Take one record, partition by partition in log order; ticks are passed over."""
        key = record.key or b"\0"
        if key[:1] == b"\0":
            return
        if record.value is None:
            source = _source(dict(record.headers)["source"])
        else:
            source = _placed(record.value).source
        order = (source.epoch, source.offset, source.step, source.due, source.index)
        self.final[key.decode()] = order, record.value
        kept = self.last.get(key.decode())
        if kept is None or order > kept.order:
            self.last[key.decode()] = Last(order, {record.value})
        elif order == kept.order:
            kept.values.add(record.value)


class Cached(NamedTuple):
    """What the cache holds: scores and lists by customer, and who stands in which set."""

    scores: Mapping[str, bytes]
    lists: Mapping[str, bytes]
    segments: Mapping[str, set[str]]
    at_risk: set[str]


class _Segmented(msgspec.Struct, gc=False):
    segment: str
    churn_probability: float | None


_segmented: Final = msgspec.json.Decoder(_Segmented).decode


def check_cache(scores: Standing, lists: Standing, cached: Cached, at_risk: float) -> Check:
    """Compare the cache with the last scores and lists.

    Parameters
    ----------
    scores, lists
        What stands on the topics.
    cached
        What the cache holds of these customers.
    at_risk
        Churn probability from which on a customer is listed as at risk.
    """
    check = Check("cache")
    for noun, standing, held in (
        ("scores", scores, cached.scores),
        ("list", lists, cached.lists),
    ):
        for customer, last in standing.last.items():
            check.expected += last.values != {None}
            check.found += customer in held
            value = held.get(customer)
            if value in last.values:
                continue
            if value is None:
                check.miss(f"the {noun} of {customer} are not there")
            elif last.values == {None}:
                check.blame(f"the {noun} of {customer} should have been removed")
            else:
                check.blame(f"the {noun} of {customer} are older than the last, {last.order}")
    for customer, value in cached.scores.items():
        read = _segmented(value)
        if customer not in cached.segments.get(read.segment, ()):
            check.miss(f"{customer} is not in the set of {read.segment}")
        chance = read.churn_probability
        if chance is not None and chance >= at_risk and customer not in cached.at_risk:
            check.miss(f"{customer} is not in the set of those at risk")
    return check


def check_compacted(scores: Standing, lists: Standing, states: States) -> Check:
    """See that the last record of each key, which compaction keeps, is the newest in order."""
    check = Check("what compaction keeps")
    for noun, standing in (("score", scores), ("list", lists)):
        for customer, last in standing.last.items():
            check.expected += 1
            check.found += 1
            final, value = standing.final[customer]
            if final != last.order and {value, *last.values} != {None}:
                check.blame(f"the {noun} of {customer} as of {final} stands behind {last.order}")
    stale = states.stale()
    check.expected += len(states)
    check.found += len(states)
    for customer, at, newest in stale:
        check.blame(f"the state of {customer} as of {at} stands behind {newest}")
    return check


def check_lists(
    lists: Standing,
    touched: Mapping[str, int],
    offered: Mapping[str, bool],
    seen_at: Mapping[str, int],
    warm_at: int,
) -> Check:
    """See that each customer's last list stands, made at their last touch or later.

    Parameters
    ----------
    lists
        What stands on the topic.
    touched
        Customers to the offset of the last event by which they touched an item.
    offered
        Customers who live to whether a list was offered, as their states have it.
    seen_at
        Where on the interactions topic a customer's last touch stands.
    warm_at
        Where on it the index got its first item: before, there was nothing to offer.
    """
    check = Check("last lists")
    for customer, has_list in offered.items():
        last, touch = lists.last.get(customer), touched.get(customer, -1)
        standing = last is not None and last.values != {None}
        check.found += standing
        if not has_list and (touch < 0 or seen_at.get(customer, 0) <= warm_at + COLD_RECORDS):
            continue
        check.expected += 1
        if last is None or not standing:
            check.miss(f"that of {customer} is missing")
        elif last.order[1] < touch:
            check.miss(f"that of {customer} is as of {last.order[1]}, and they touched at {touch}")
    return check
