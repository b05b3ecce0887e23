"""Asks the rules what a moment of a customer sets off, and the limits what becomes of it."""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

from crm_online.actions.control import period_of
from crm_online.actions.limits import Asked, Limits, Verdict, forget_old
from crm_online.actions.partition import ActionPartition
from crm_online.actions.publishing import ActionSlice, Decision, Publisher
from crm_online.actions.rate import share_of
from crm_online.actions.rules import Rule, RuleSet
from crm_online.actions.state import ActionState, Held, Latest, Send, Spark
from crm_online.actions.triggers import Look, evaluate, is_true, keys_of, take_stock
from crm_online.cloudevents import event_id
from crm_online.scores import Source
from crm_online.settings import Settings

__all__ = ["Force", "Judge", "Place"]

COUNTED: Final = frozenset({"sent", "released", "control"})

NOTHING: Final = Latest("", "", None, False, [], None, "", 0, 0.0, "", None, {}, [])  # noqa: FBT003


class Force(NamedTuple):
    """A rule set in force, ready to be asked."""

    rules: RuleSet
    ordered: list[Rule]
    named: dict[str, Rule]
    keys: frozenset[str]
    limits: Limits

    def rank(self, rule: str) -> int:
        """Return how urgent a rule is: 0 comes first; of one that is no more, last."""
        found = self.named.get(rule)
        return len(self.ordered) if found is None else self.ordered.index(found)


class Place(NamedTuple):
    """Where a decision stands, and how old what set it off is."""

    source: Source
    as_of: float
    now: float
    age: float


class Judge:
    """Decides on actions, and hands what it decides to a publisher.

    Parameters
    ----------
    settings
        Of the whole program.
    publisher
        Takes the decisions.
    """

    def __init__(self, settings: Settings, publisher: Publisher) -> None:
        self._settings = settings
        self._publisher = publisher
        self._forces: dict[str, Force] = {}

    def force(self, held: ActionPartition) -> Force:
        """Return the rule set in force in a partition, ready to be asked."""
        rules = held.rules or RuleSet()
        found = self._forces.get(rules.version)
        if found is None:
            settings = self._settings
            ordered = sorted(rules.rules, key=lambda rule: -rule.priority)
            limits = Limits(rules, settings.timezone, settings.max_action_age_seconds)
            named = {rule.name: rule for rule in ordered}
            found = Force(rules, ordered, named, keys_of(ordered), limits)
            self._forces = {rules.version: found}  # few partitions change at different times
        return found

    def ask(
        self, batch: ActionSlice, customer: str, look: Look, place: Place, *, silent: bool = False
    ) -> None:
        """Ask every rule, the most urgent first."""
        force = self.force(batch.partition)
        for rule in force.ordered:
            take_stock(rule, look)
            sparks = evaluate(rule, look)
            if sparks and not silent and _is_for(rule, force.rules, look.state):
                action_id = event_id(customer, place.source, f"action {rule.name}")
                asked = Asked(customer, look.state, rule, place.now, place.age)
                self._decide(batch, asked, place, sparks, action_id)

    def let_go(self, batch: ActionSlice, customer: str, look: Look, place: Place) -> None:
        """Decide on what was held until now, the most urgent first."""
        state, force = look.state, self.force(batch.partition)
        due = [held for held in state.held if held.due <= place.now]
        state.held = [held for held in state.held if held.due > place.now]
        for held in sorted(due, key=lambda each: force.rank(each.rule)):
            rule = force.named.get(held.rule)
            if rule is not None:
                take_stock(rule, look)  # it may have changed meanwhile
            if rule is None or not is_true(rule, look, held.sparks):
                verdict = Verdict("expired", "no_longer_true")
                self._publish(batch, customer, state, place, rule, held, verdict)
            else:
                asked = Asked(customer, state, rule, place.now, place.age, released=True)
                self._decide(batch, asked, place, held.sparks, held.action_id)

    def _decide(
        self, batch: ActionSlice, asked: Asked, place: Place, sparks: list[Spark], action_id: str
    ) -> None:
        held, state, rule = batch.partition, asked.state, asked.rule
        force = self.force(held)
        limit = share_of(force.rules.limits.per_hour, held.number, self._settings.partitions)
        order = held.progress.epoch, place.as_of, place.source.due, asked.customer
        verdict = force.limits.judge(asked, lambda: held.rate.take(order, asked.now, limit))
        held_back = Held(verdict.until, rule.name, action_id, sparks)
        if verdict.status == "held":
            state.held.append(held_back)
        elif verdict.status in COUNTED:
            source = place.source
            send = Send(asked.now, rule.action, rule.channel, place.as_of, source.due, source.epoch)
            state.sends = forget_old([*state.sends, send], asked.now)
            state.sent += 1
        self._publish(batch, asked.customer, state, place, rule, held_back, verdict)

    def _publish(
        self,
        batch: ActionSlice,
        customer: str,
        state: ActionState,
        place: Place,
        rule: Rule | None,
        held: Held,
        verdict: Verdict,
    ) -> None:
        period = period_of(place.now, self.force(batch.partition).rules.control)
        first = rule is not None and verdict.status in COUNTED and _draw(state, rule, period)
        source = msgspec.structs.replace(place.source, index=batch.index(place.source, customer))
        decision = Decision(
            customer,
            held.action_id,
            rule,
            held.rule,
            verdict,
            place.now,
            source,
            held.sparks,
            state.latest or NOTHING,
            len(state.cart),
            first,
        )
        self._publisher.add(batch, decision, self.force(batch.partition).rules)


def _draw(state: ActionState, rule: Rule, period: str) -> bool:
    """Note that a group was drawn; tells whether it is the first time in the period."""
    before = state.drawn.get(rule.action)
    state.drawn[rule.action] = period
    return before != period


def _is_for(rule: Rule, rules: RuleSet, state: ActionState) -> bool:
    """Tell whether a customer is one of those that a rule is for."""
    who, latest = rule.who, state.latest
    if latest is None:
        return False
    return (
        (who.segments is None or latest.segment in who.segments)
        and (who.value_tiers is None or rules.tier(latest.expected_value) in who.value_tiers)
        and all(latest.traits.get(name) in values for name, values in who.traits.items())
    )
