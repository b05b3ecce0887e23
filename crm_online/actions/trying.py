"""Rules tried on the past: what would have been sent, to how many, and what was held back."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from itertools import count
from typing import Any, Final

import msgspec

from crm_online.actions.acting import Actor
from crm_online.actions.records import DELIVERED, Action
from crm_online.actions.rules import RuleSet
from crm_online.deciding import rules
from crm_online.internal import TICK_KEY
from crm_online.log import LogRecord
from crm_online.scores import ScoreUpdate
from crm_online.settings import Settings

__all__ = ["Trial", "try_rules"]

LOT: Final = 1000
TICK_SECONDS: Final = 300.0
_decode: Final = msgspec.json.Decoder(Action).decode
_decode_score: Final = msgspec.json.Decoder(ScoreUpdate).decode


class Trial:
    """What rules did, counted."""

    def __init__(self) -> None:
        self.scores = self.unreadable = 0
        self.customers: set[str] = set()
        self.first = self.last = 0.0
        self._statuses: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._reached: defaultdict[str, set[str]] = defaultdict(set)
        self._each: Counter[str] = Counter()
        self._days: Counter[str] = Counter()

    def add(self, action: Action) -> None:
        """Count one decision."""
        self._statuses[action.rule][action.why or action.status] += 1
        if action.status in DELIVERED:
            self._reached[action.rule].add(action.customer_id)
            self._each[action.customer_id] += 1
            self._days[action.at.date().isoformat()] += 1

    def figures(self, rule_set: RuleSet) -> dict[str, Any]:
        """Return all that was counted.

        Parameters
        ----------
        rule_set
            That was tried.
        """
        times = Counter(self._each.values())
        busiest = self._days.most_common(1)
        return {
            "version": rule_set.version,
            "scores": self.scores,
            "unreadable": self.unreadable,
            "customers": len(self.customers),
            "days": (self.last - self.first) / 86_400.0 if self.scores else 0.0,
            "delivered": self._each.total(),
            "customers_reached": len(self._each),
            "most_to_one": max(self._each.values(), default=0),
            "customers_by_number": {str(n): times[n] for n in sorted(times)},
            "busiest_day": {"day": busiest[0][0], "delivered": busiest[0][1]} if busiest else None,
            "rules": [self._rule(rule.name) for rule in rule_set.rules],
        }

    def _rule(self, name: str) -> dict[str, Any]:
        counts = self._statuses[name]
        delivered = sum(counts[status] for status in DELIVERED)
        others = {k: n for k, n in sorted(counts.items()) if k not in {*DELIVERED, "control"}}
        return {
            "rule": name,
            "delivered": delivered,
            "customers": len(self._reached[name]),
            "control": counts["control"],
            "held": others.pop("quiet_hours", 0),
            "held_back": others,
        }


def try_rules(values: Iterable[bytes], rule_set: RuleSet, settings: Settings) -> Trial:
    """Run scores through rules as if each had just been written; nothing is sent.

    Parameters
    ----------
    values
        Scores as they stand on ``crm.scores``, in order.
    rule_set
        To be tried; in force from the beginning.
    settings
        Of the whole program.
    """
    trial, actor = Trial(), Actor(settings.model_copy(update={"partitions": 1}))
    actor.restore(0).finish()
    for lot in _lots(_records(values, rule_set, settings, trial)):
        for effects in actor.process(0, lot):
            for message in effects.outputs.get("actions", ()):
                trial.add(_decode(message.value or b""))
    return trial


def _records(
    values: Iterable[bytes], rule_set: RuleSet, settings: Settings, trial: Trial
) -> Iterator[LogRecord]:
    key = settings.signing_key.get_secret_value().encode()
    offsets = count()
    yield LogRecord(next(offsets), 0, *rules(key, rule_set.text.encode()))
    for value in values:
        try:
            score = _decode_score(value)
        except msgspec.MsgspecError:
            trial.unreadable += 1
            continue
        at = score.at.timestamp()
        while trial.scores and trial.last + TICK_SECONDS < at:  # as a live partition has them
            trial.last += TICK_SECONDS
            yield _tick(next(offsets), trial.last)
        trial.scores += 1
        trial.customers.add(score.customer_id)
        trial.first = min(trial.first or at, at)
        trial.last = max(trial.last, at)
        stamp = int(trial.last * 1000.0)
        yield LogRecord(next(offsets), stamp, score.customer_id.encode(), value)


def _tick(offset: int, at: float) -> LogRecord:
    return LogRecord(offset, int(at * 1000.0), TICK_KEY, msgspec.json.encode({"at": at}))


def _lots(records: Iterable[LogRecord]) -> Iterator[list[LogRecord]]:
    lot: list[LogRecord] = []
    for record in records:
        lot.append(record)
        if len(lot) == LOT:
            yield lot
            lot = []
    yield lot
