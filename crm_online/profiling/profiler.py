"""Profiler.see(record): all that a profile counts, and Profiler.profile(): what came together."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import orjson

from crm_online.cleaning import Cleaning, read_event
from crm_online.cloudevents import utc
from crm_online.errors import EventRejected
from crm_online.events import CustomerEvent
from crm_online.kinds import KIND
from crm_online.profiling.counting import Counted, Remembered, digest
from crm_online.profiling.fields import Fields
from crm_online.profiling.findings import findings
from crm_online.profiling.orders import Ledger
from crm_online.profiling.report import EventName, Profile
from crm_online.profiling.times import Times

if TYPE_CHECKING:
    from crm_online.settings import Settings

__all__ = ["Profiler"]

MOST_NAMES: Final = 200
OTHERS: Final = "(others)"
MOST_LINKS: Final = 500_000
RARE: Final = 0.005  # what fewer events of a name have is no part of it
# What says how an event came here, and not what happened.
ON_THE_WAY: Final = frozenset({"messageId", "sentAt", "receivedAt", "originalTimestamp", "context"})


class Profiler:
    """Takes note of all that is in a history.

    Parameters
    ----------
    settings
        How the job would read events, and what it would refuse.

    Examples
    --------
    >>> from crm_online.settings import Settings
    >>> profiler = Profiler(Settings())
    >>> raw = b'{"type": "track", "event": "Product Viewed", "userId": "ann", "messageId": "m",'
    >>> raw += b' "timestamp": "2026-03-01T12:00:00Z", "properties": {"price": "9.50"}}'
    >>> profiler.see(raw, 1_772_366_400.0)
    >>> found = profiler.profile()
    >>> found.events, found.names[0].name, found.names[0].known, found.customers.count
    (1, 'Product Viewed', True, 1)
    """

    def __init__(self, settings: Settings) -> None:
        self._cleaning: Final = Cleaning.of(settings)
        self._records = self._events = self._known = 0
        self._rejected: Counter[str] = Counter()
        self._repairs: Counter[str] = Counter()
        self._first, self._last = float("inf"), float("-inf")
        self._names: Counter[str] = Counter()
        self._paths: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._fields, self._times, self._ledger = Fields(), Times(), Ledger()
        self._customers, self._items = Counted(), Counted()
        self._ids, self._contents = Remembered(), Remembered()
        self._same_id = self._same_content = self._unnamed = 0
        self._links: dict[int, set[int]] = {}

    def see(self, raw: bytes | None, log_seconds: float, partition: int = 0) -> None:
        """Take one record.

        Parameters
        ----------
        raw
            Its value.
        log_seconds
            When it was put there, seconds since 1970.
        partition
            Where it stands.
        """
        self._records += 1
        try:
            event = read_event(raw, log_seconds, self._cleaning)
        except EventRejected as rejection:
            self._rejected[rejection.reason] += 1
            return
        self._events += 1
        self._repairs.update(event.cleaned)
        decoded: dict[str, Any] = orjson.loads(raw or b"")
        self._see_name(str(decoded.get("event") or event.event), self._fields.see(decoded))
        self._see_time(event.at, partition)
        self._see_people(event)
        for item in event.items:
            self._items.see(item.product_id)
        if not self._is_repeat(event, decoded):
            self._ledger.see(event)

    def _see_name(self, name: str, paths: set[str]) -> None:
        if name not in self._names and len(self._names) >= MOST_NAMES:
            name = OTHERS
        self._names[name] += 1
        self._paths[name].update(paths)

    def _see_time(self, at: float, partition: int) -> None:
        self._first, self._last = min(self._first, at), max(self._last, at)
        self._times.see(partition, at)

    def _see_people(self, event: CustomerEvent) -> None:
        self._customers.see(event.customer)
        self._known += event.known
        if event.known and event.anonymous_id:
            name = digest(event.anonymous_id)
            if name in self._links or len(self._links) < MOST_LINKS:
                self._links.setdefault(name, set()).add(digest(event.customer))

    def _is_repeat(self, event: CustomerEvent, decoded: dict[str, Any]) -> bool:
        same_id = bool(event.message_id) and self._ids.again(digest(event.message_id))
        self._same_id += same_id
        self._unnamed += not event.message_id
        said = {name: value for name, value in decoded.items() if name not in ON_THE_WAY}
        content = orjson.dumps(said, option=orjson.OPT_SORT_KEYS)
        same_content = self._contents.again(digest(str(event.at), content))
        self._same_content += same_content and not same_id
        return same_id

    def profile(self) -> Profile:
        """Return what came together so far."""
        found = Profile(
            self._records,
            self._events,
            dict(self._rejected.most_common()),
            _time(self._first),
            _time(self._last),
            [self._name(name, count) for name, count in self._names.most_common()],
            self._fields.profiles(),
            self._customers.profile(),
            self._items.profile(),
            self._known,
            self._events - self._known,
            max(map(len, self._links.values()), default=0),
            self._same_id,
            self._same_content,
            self._unnamed,
            self._times.days(),
            self._times.by_hour(),
            self._times.gaps(),
            self._times.lateness(),
            self._ledger.profile(),
            [],
            dict(self._repairs.most_common()),
        )
        found.findings.extend(findings(found))
        return found

    def _name(self, name: str, count: int) -> EventName:
        missing = {
            path: 1.0 - has / count
            for path, has in sorted(self._paths[name].items())
            if RARE * count <= has < count
        }
        return EventName(name, name in KIND, count, missing)


def _time(at: float) -> datetime | None:
    return utc(at) if abs(at) < float("inf") else None
