"""From decisions to the records that go out, and to snapshots."""

from __future__ import annotations

from collections import Counter
from typing import Final, NamedTuple

import msgspec

from crm_online.actions.control import period_of
from crm_online.actions.limits import Verdict
from crm_online.actions.partition import ActionPartition
from crm_online.actions.records import Action, Trigger
from crm_online.actions.rules import Rule, RuleSet
from crm_online.actions.state import ActionState, Latest, Spark, encode
from crm_online.actions.templates import TRAIT, fill
from crm_online.cloudevents import event_id, headers, traced, utc
from crm_online.customers.partition import tombstone
from crm_online.customers.progress import progress_message
from crm_online.deciding import Treatment, treatment
from crm_online.log import Effects, Message
from crm_online.scores import Source
from crm_online.settings import Settings

__all__ = ["ActionSlice", "Decision", "Publisher"]

ACTION_TYPE: Final = b"crm.action.decided"
_encode: Final = msgspec.json.Encoder().encode


class Decision(NamedTuple):
    """One action and what becomes of it, with all that its record says."""

    customer: str
    action_id: str
    rule: Rule | None
    name: str
    verdict: Verdict
    now: float
    source: Source
    sparks: list[Spark]
    latest: Latest
    cart: int
    first: bool


class ActionSlice:
    """What one slice of a batch came to, in log order."""

    def __init__(self, partition: ActionPartition) -> None:
        self.partition = partition
        self.events = 0
        self.fired = 0
        self.live: dict[str, ActionState] = {}
        self.gone: dict[str, float] = {}
        self.decisions: list[Message] = []
        self.treatments: list[Message] = []
        self.trace = b""  # of the score that is acted on
        self._here: tuple[Source, str] | None = None
        self._index = 0

    def index(self, source: Source, customer: str) -> int:
        """Count the actions on one customer at one place."""
        here = source, customer
        self._index = self._index + 1 if here == self._here else 0
        self._here = here
        return self._index

    def state(self, customer: str) -> ActionState | None:
        """Return the customer as of this record, or ``None`` for an unknown one."""
        found = self.live.get(customer)
        if found is None and customer not in self.gone:
            found = self.partition.load(customer)
        return found


class Publisher:
    """Encodes actions, treatments, snapshots and the partition's own record.

    Parameters
    ----------
    settings
        Of the whole program.
    """

    def __init__(self, settings: Settings) -> None:
        self.decided: Counter[tuple[str, str]] = Counter()
        self._source = f"{settings.app}/act".encode()
        self._key = settings.signing_key.get_secret_value().encode()

    def add(self, batch: ActionSlice, decision: Decision, rules: RuleSet) -> None:
        """Encode one decision, and the treatment that outcomes are to carry."""
        period = period_of(decision.now, rules.control)
        status, source = decision.verdict.status, decision.source
        arm = {"sent": "treated", "released": "treated", "control": "control"}.get(status)
        record = self._record(decision, rules, period, arm)
        name = event_id(decision.customer, source, f"action {decision.name} {status}")
        ce = headers(ACTION_TYPE, self._source, name, record.at)
        key = decision.customer.encode()
        batch.decisions.append(Message(key, _encode(record), traced(ce, batch.trace, name)))
        self.decided[record.action, status] += 1
        if arm is not None:
            place = source.epoch, source.offset, source.step, source.due, source.index
            treated = Treatment(
                decision.customer,
                decision.action_id,
                record.action,
                period,
                arm == "control",
                decision.now,
                place,
                rules.control.share,
                decision.first,
            )
            batch.treatments.append(treatment(self._key, treated))

    def _record(self, decision: Decision, rules: RuleSet, period: str, arm: str | None) -> Action:
        rule, latest, verdict = decision.rule, decision.latest, decision.verdict
        return Action(
            action_id=decision.action_id,
            customer_id=decision.customer,
            status=verdict.status,
            action=rule.action if rule is not None else decision.name,
            rule=decision.name,
            channel=rule.channel if rule is not None else "",
            category=rule.category if rule is not None else "",
            at=utc(decision.now),
            why=verdict.why,
            held_until=utc(verdict.until) if verdict.status == "held" else None,
            triggers=[Trigger(s.kind, utc(s.at), s.text, s.item or None) for s in decision.sparks],
            treatment=arm,  # type: ignore[arg-type]
            period=period,
            template=_template(decision),
            items=latest.recommended[: rule.items if rule is not None else 0],
            segment=latest.segment,
            churn_probability=latest.churn_probability,
            calibrated=latest.calibrated,
            reasons=latest.reasons,
            expected_value=latest.expected_value,
            currency=latest.currency,
            score_id=latest.score_id,
            source=decision.source,
            rules=rules.version,
        )

    def effects(self, batch: ActionSlice) -> Effects:
        """Take the changed customers into the store; return all that the slice causes."""
        partition = batch.partition
        effects = Effects(events=batch.events, as_of=partition.progress.as_of)
        outputs = {"actions": batch.decisions, "events": batch.treatments}
        effects.outputs = {noun: messages for noun, messages in outputs.items() if messages}
        packed = {customer: encode(state) for customer, state in batch.live.items()}
        partition.store.save(packed)
        effects.snapshots = [Message(c.encode(), value) for c, value in packed.items()]
        epoch = partition.progress.epoch
        for customer, as_of in batch.gone.items():
            partition.store.drop(customer)
            partition.gone[customer] = (epoch, as_of)
            effects.snapshots.append(tombstone(customer, epoch, as_of))
        partition.pass_over(partition.progress.as_of)
        effects.progress = progress_message(partition.progress)
        return effects


def _template(decision: Decision) -> dict[str, str]:
    if decision.rule is None or not decision.rule.template:
        return {}
    latest = decision.latest
    values = {
        "customer_id": decision.customer,
        "segment": latest.segment,
        "churn_probability": _number(latest.churn_probability),
        "expected_value": _number(latest.expected_value),
        "currency": latest.currency,
        "orders": str(latest.orders),
        "spend": _number(latest.spend),
        "item": next((spark.item for spark in decision.sparks if spark.item), ""),
        "cart": str(decision.cart),
    } | {f"{TRAIT}{name}": _text(value) for name, value in latest.traits.items()}
    return {name: fill(text, values) for name, text in decision.rule.template.items()}


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _text(value: str | float | bool) -> str:  # noqa: FBT001 - a trait may be any of these
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    return value
