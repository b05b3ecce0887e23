"""What holds an action back: age, consent, quiet hours, caps, the global rate, the experiment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from crm_online.actions.clock import local_day, quiet_until, zone_of
from crm_online.actions.control import in_control, period_of
from crm_online.actions.records import Status
from crm_online.actions.rules import MAX_CAP, MAX_CAP_DAYS, Cap, Rule, RuleSet
from crm_online.actions.state import ActionState, Send
from crm_online.customers.state import DAY

__all__ = ["Asked", "Limits", "Verdict", "forget_old"]

HOUR: Final = 3600.0


class Verdict(NamedTuple):
    """What becomes of an action, why, and until when it waits."""

    status: Status
    why: str | None = None
    until: float = 0.0


class Asked(NamedTuple):
    """One action to be judged.

    Parameters
    ----------
    customer, state
        Whose.
    rule
        Which came true.
    now
        Time of the decision, seconds.
    age
        How far event time is behind the log's own, seconds.
    released
        It was held before.
    """

    customer: str
    state: ActionState
    rule: Rule
    now: float
    age: float
    released: bool = False


class Limits:
    """Judges actions by a rule set; the first reason to hold one back is the one that is told.

    Parameters
    ----------
    rules
        In force.
    timezone
        Of customers whose own is not known.
    max_age
        Of a trigger, seconds.
    """

    def __init__(self, rules: RuleSet, timezone: str, max_age: float) -> None:
        self._rules = rules
        self._timezone = timezone
        self._max_age = max_age
        self._suppressed = frozenset(rules.suppressed_customers)

    def judge(self, asked: Asked, take: Callable[[], bool]) -> Verdict:
        """Decide on one action.

        Parameters
        ----------
        asked
            The action.
        take
            Takes one out of the global rate, and tells whether there was one left.
        """
        verdict = self._refuse(asked) or self._hold(asked) or self._cap(asked)
        if verdict is not None:
            return verdict
        if not take():
            return Verdict("suppressed", "rate_limit")
        period = period_of(asked.now, self._rules.control)
        if in_control(asked.customer, asked.rule.action, period, self._rules.control):
            return Verdict("control")
        return Verdict("released" if asked.released else "sent")

    def _refuse(self, asked: Asked) -> Verdict | None:
        latest = asked.state.latest
        if asked.age > self._max_age:
            return (
                Verdict("expired", "too_late") if asked.released else Verdict("suppressed", "stale")
            )
        if asked.customer in self._suppressed:
            return Verdict("suppressed", "suppression_list")
        consent = latest.consent if latest is not None else None
        if consent is not None and asked.rule.category not in consent:
            return Verdict("suppressed", "consent")
        if latest is not None and latest.unsubscribed and asked.rule.channel == "email":
            return Verdict("suppressed", "unsubscribed")
        return None

    def _hold(self, asked: Asked) -> Verdict | None:
        quiet = self._rules.quiet_hours
        if quiet is None or not asked.rule.quiet_hours:
            return None
        zone = zone_of(self._zone_name(asked.state), self._timezone)
        until = quiet_until(asked.now, zone, quiet.begin, quiet.end)
        if until <= asked.now:
            return None
        if until - asked.now > asked.rule.hold_hours * HOUR:
            return Verdict("expired", "too_late")
        if any(held.rule == asked.rule.name for held in asked.state.held):
            return Verdict("suppressed", "waits_already")
        return Verdict("held", "quiet_hours", until)

    def _cap(self, asked: Asked) -> Verdict | None:
        rule, limits, sends = asked.rule, self._rules.limits, asked.state.sends
        same = [send for send in sends if send.action == rule.action]
        on_channel = [send for send in sends if send.channel == rule.channel]
        for why, counted, caps in (
            ("cap_action", same, rule.caps),
            ("cap_channel", on_channel, limits.channels.get(rule.channel, [])),
            ("cap_overall", sends, limits.overall),
        ):
            if self._is_full(asked, counted, caps):
                return Verdict("suppressed", why)
        return None

    def _is_full(self, asked: Asked, sends: Iterable[Send], caps: Iterable[Cap]) -> bool:
        zone = zone_of(self._zone_name(asked.state), self._timezone)
        today = local_day(asked.now, zone)
        ages = [(today - local_day(send.at, zone)).days for send in sends]
        return any(sum(age < cap.days for age in ages) >= cap.at_most for cap in caps)

    @staticmethod
    def _zone_name(state: ActionState) -> str:
        return state.latest.timezone if state.latest is not None else ""


def forget_old(sends: list[Send], now: float) -> list[Send]:
    """Return what a cap may still count: the newest of each action, of each channel, of all."""
    since = now - (MAX_CAP_DAYS + 1) * DAY
    newer: Counter[tuple[str, str]] = Counter()
    kept = []
    for send in reversed(sends):
        names = ("action", send.action), ("channel", send.channel), ("overall", "")
        if send.at > since and min(newer[name] for name in names) < MAX_CAP:
            kept.append(send)
        newer.update(names)
    return kept[::-1]
