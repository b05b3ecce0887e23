"""Scores as `act` reads them, and what it made of them, for tests without Kafka."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from crm_online.actions.acting import Actor
from crm_online.actions.records import Action
from crm_online.actions.rules import RuleSet
from crm_online.deciding import rules
from crm_online.internal import TICK_KEY
from crm_online.log import Effects, LogRecord, Message
from crm_online.scores import ScoreUpdate, Source
from crm_online.settings import Settings

__all__ = [
    "HOUR",
    "KEY",
    "START",
    "Entry",
    "Scores",
    "actions",
    "in_force",
    "process",
    "rule_set",
    "run",
    "score",
    "tick",
]

START = 1_709_280_000.0  # 1 March 2024, 8:00 UTC
HOUR = 3600.0
Entry = ScoreUpdate | Message | RuleSet
KEY = Settings().signing_key.get_secret_value().encode()


def score(customer: str, at: float, **said: Any) -> ScoreUpdate:
    """Make one score; its place on crm.events is numbered by `Scores`."""
    fields: dict[str, Any] = {
        "score_id": f"s-{customer}-{at}",
        "customer_id": customer,
        "message_id": None,
        "at": datetime.fromtimestamp(at, UTC),
        "cause": "event",
        "source": Source(0, 0, 0),
        "segment": "promising",
        "cluster": None,
        "churn_probability": None,
        "calibrated": True,
        "churn_reasons": [],
        "expected_value": None,
        "currency": "EUR",
        "orders": 0,
        "spend": 0.0,
        "refunds": 0.0,
        "last_activity_at": datetime.fromtimestamp(at, UTC),
        "models": {},
    }
    return ScoreUpdate(**(fields | said))


def tick(at: float) -> Message:
    """Make a tick as scorers pass it on."""
    return Message(TICK_KEY, msgspec.json.encode({"at": at}))


def rule_set(*given: dict[str, Any], **others: Any) -> RuleSet:
    """Make a rule set without limits, quiet hours or control group, but for what is said."""
    numbered = [{"name": f"rule-{n}", "action": f"action-{n}"} | r for n, r in enumerate(given)]
    free = {
        "limits": {"overall": []},
        "control": {"share": 0.0},
    }
    return RuleSet.model_validate({"rules": numbered} | free | others)


def in_force(rule_set: RuleSet) -> Message:
    """Make the signed record at which a rule set takes effect."""
    return rules(KEY, rule_set.text.encode())


class Scores:
    """A partition of crm.scores under way: numbers records, and stamps them as Kafka would."""

    def __init__(self, delay: float = 1.0) -> None:
        self.records: list[LogRecord] = []
        self.now = START
        self._delay = delay

    def add(self, *entries: Entry, late: float = 0.0) -> list[LogRecord]:
        """Append entries; returns just these."""
        return [self._add(entry, late) for entry in entries]

    def _add(self, entry: Entry, late: float) -> LogRecord:
        offset = len(self.records)
        if isinstance(entry, ScoreUpdate):
            if not entry.source.offset:
                entry = msgspec.structs.replace(entry, source=Source(0, 0, offset + 1))
            self.now = max(self.now, entry.at.timestamp())
            entry = Message(entry.customer_id.encode(), msgspec.json.encode(entry))
        elif isinstance(entry, RuleSet):
            entry = in_force(entry)
        elif entry.key == TICK_KEY:
            self.now = max(self.now, msgspec.json.decode(entry.value or b"")["at"])
        assert isinstance(entry, Message)
        stamp = int((self.now + self._delay + late) * 1000.0)
        record = LogRecord(offset, stamp, entry.key, entry.value, entry.headers)
        self.records.append(record)
        return record


def actions(effects: Sequence[Effects]) -> list[Action]:
    """Return the actions that stand in effects, in order."""
    return [
        msgspec.json.decode(message.value or b"", type=Action)
        for each in effects
        for message in each.outputs.get("actions", ())
    ]


def run(*entries: Entry, **settings: Any) -> list[Action]:
    """Return the actions on a log of one partition, without those of the rules' own record."""
    log = Scores()
    log.add(*entries)
    return actions(list(process(log.records, **settings)))


def process(records: Sequence[LogRecord], **settings: Any) -> Iterator[Effects]:
    """Apply a log of one partition from its beginning."""
    actor = Actor(Settings(**({"partitions": 1} | settings)))
    actor.restore(0).finish()
    yield from actor.process(0, records)
