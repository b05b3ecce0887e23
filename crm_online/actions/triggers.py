"""Triggers: what comes true is a crossing, never a level; what is true is asked beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from crm_online.actions.rules import Rule
from crm_online.actions.state import ActionState, Latest, Spark
from crm_online.actions.when import (
    AllOf,
    AnyOf,
    CartLeft,
    ChurnAbove,
    SegmentEntered,
    SegmentLeft,
    SegmentReentered,
    Silent,
    ValueAbove,
    Viewed,
    When,
    leaves,
)
from crm_online.customers.state import DAY

__all__ = ["Look", "due_times", "evaluate", "is_true", "keys_of", "take_stock"]

HOUR: Final = 3600.0


class Look(NamedTuple):
    """One moment of one customer, after their state has moved on.

    Parameters
    ----------
    state
        As it is now; only its levels are changed here.
    now
        Time of the decision, seconds.
    before
        The score before; ``None`` at a timer, and for who is first seen.
    viewed
        Item that was viewed just now, or ``""``.
    new
        The customer did their first thing: what they are, they have become.
    scored
        A score is what moved the state on.
    """

    state: ActionState
    now: float
    before: Latest | None = None
    viewed: str = ""
    new: bool = False
    scored: bool = False

    @property
    def segment(self) -> str:
        """The segment they are in."""
        return self.state.latest.segment if self.state.latest is not None else ""

    def crossed(self, segment: str) -> bool:
        """Tell whether they came into a segment, or left it, just now."""
        if not self.scored or (self.before is None and not self.new):
            return False
        was = self.before is not None and self.before.segment == segment
        return was != (self.segment == segment)


def keys_of(rules: list[Rule]) -> frozenset[str]:
    """Return the keys of all levels that a rule set needs."""
    return frozenset(leaf.key for rule in rules for leaf in leaves(rule.when))


def evaluate(rule: Rule, look: Look) -> list[Spark]:
    """Return what came true of a rule just now, the first named first; nothing where it did not.

    Every simple trigger is looked at, so that each knows where it stands.
    """
    sparks: dict[str, list[Spark]] = {}
    for leaf in leaves(rule.when):
        if leaf.key not in sparks:  # where it stands twice, both come true
            sparks[leaf.key] = _FIRES[type(leaf)](leaf, look)
    return _combine(rule.when, look, sparks)


def is_true(rule: Rule, look: Look, sparks: list[Spark]) -> bool:
    """Tell whether what came true of a rule still is."""
    items = {view.item for view in look.state.views}
    return _holds(rule.when, look) and all(s.item in items for s in sparks if s.item)


def take_stock(rule: Rule, look: Look) -> None:
    """Note where triggers stand that were not asked before, so that only what follows counts."""
    for leaf in leaves(rule.when):
        level = _LEVELS.get(type(leaf))
        key = leaf.key
        if level is not None and key not in look.state.levels:
            stands = level(leaf, look)
            if stands is not None:
                look.state.levels[key] = stands


def due_times(rule: Rule, look: Look) -> Iterator[float]:
    """Return when triggers of a rule that wait for time will come true, if nothing happens."""
    for leaf in leaves(rule.when):
        if isinstance(leaf, CartLeft | Silent):
            about = _about(leaf, look.state)
            if about and look.state.levels.get(leaf.key, 0.0) != about:
                yield _due(leaf, look.state)


def _combine(when: When, look: Look, sparks: dict[str, list[Spark]]) -> list[Spark]:
    if isinstance(when, AnyOf):
        return [spark for part in when.any for spark in _combine(part, look, sparks)]
    if isinstance(when, AllOf):
        fired = [(part, _combine(part, look, sparks)) for part in when.all]
        if all(found or _holds(part, look) for part, found in fired):
            return [spark for _, found in fired for spark in found]
        return []
    return sparks[when.key]


def _holds(when: When, look: Look) -> bool:
    if isinstance(when, AnyOf):
        return any(_holds(part, look) for part in when.any)
    if isinstance(when, AllOf):
        return all(_holds(part, look) for part in when.all)
    return _HOLDS[type(when)](when, look)


def _entered(leaf: SegmentEntered, look: Look) -> list[Spark]:
    name = leaf.segment_entered
    if look.crossed(name) and look.segment == name:
        return [Spark("segment_entered", look.now, f"came into the segment {name}")]
    return []


def _left(leaf: SegmentLeft, look: Look) -> list[Spark]:
    name = leaf.segment_left
    if look.crossed(name) and look.segment != name:
        return [Spark("segment_left", look.now, f"left the segment {name} for {look.segment}")]
    return []


def _reentered(leaf: SegmentReentered, look: Look) -> list[Spark]:
    name = leaf.segment_reentered
    if look.crossed(name) and look.segment == name and name in look.state.visited:
        return [Spark("segment_reentered", look.now, f"came back into the segment {name}")]
    return []


def _number(leaf: ChurnAbove | ValueAbove, latest: Latest | None) -> float | None:
    if latest is None:
        return None
    if isinstance(leaf, ValueAbove):
        return latest.expected_value
    return latest.churn_probability if latest.calibrated else None


def _threshold(leaf: ChurnAbove | ValueAbove) -> float:
    return leaf.churn_above if isinstance(leaf, ChurnAbove) else leaf.value_above


def _crosses(leaf: ChurnAbove | ValueAbove, look: Look) -> list[Spark]:
    number, above, key = _number(leaf, look.state.latest), _threshold(leaf), leaf.key
    if number is None or not look.scored:
        return []
    up = look.state.levels.get(key, 0.0)
    if number >= above:
        look.state.levels[key] = 1.0
        if not up:
            is_churn = isinstance(leaf, ChurnAbove)
            kind = "churn_above" if is_churn else "value_above"
            what = "churn probability" if is_churn else "expected value"
            text = f"{what} {number:.2f} rose to {above:g} or more"
            return [Spark(kind, look.now, text)]
    elif up and number <= leaf.rearm:
        look.state.levels[key] = 0.0
    return []


def _level(leaf: ChurnAbove | ValueAbove, look: Look) -> float | None:
    """Say where the first number stands: what a model says once it has learned is no crossing."""
    number = _number(leaf, look.state.latest)
    return None if number is None else float(number >= _threshold(leaf) and not look.new)


def _viewed(leaf: Viewed, look: Look) -> list[Spark]:
    for view in look.state.views:
        if view.item == look.viewed:
            *earlier, _ = view.times
            within = _count(earlier, look.now - leaf.within_days * DAY)
            # Who views an item daily falls below the number each day, and reaches it again.
            was_up = within > 0 and (
                _count(earlier, earlier[-1] - leaf.within_days * DAY) >= leaf.viewed
            )
            if within == leaf.viewed - 1 and not was_up:
                text = f"viewed {view.item} {leaf.viewed} times and did not buy it"
                return [Spark("viewed", look.now, text, view.item)]
    return []


def _count(times: list[float], since: float) -> int:
    return sum(at > since for at in times)


def _about(leaf: CartLeft | Silent, state: ActionState) -> float:
    """Return the time that a waiting trigger is about: it fires once about each; 0: none."""
    if isinstance(leaf, Silent):
        return state.last_activity
    return state.cart_at if state.cart else 0.0


def _due(leaf: CartLeft | Silent, state: ActionState) -> float:
    if isinstance(leaf, Silent):
        return state.last_activity + leaf.silent_days * DAY
    return max(state.cart_at, state.last_activity) + leaf.cart_left_hours * HOUR


def _waited(leaf: CartLeft | Silent, look: Look) -> list[Spark]:
    about, key = _about(leaf, look.state), leaf.key
    if not about or look.now < _due(leaf, look.state) or look.state.levels.get(key) == about:
        return []
    look.state.levels[key] = about
    if isinstance(leaf, Silent):
        return [Spark("silent", look.now, f"did nothing for {leaf.silent_days:g} days")]
    count = len(look.state.cart)
    text = (
        f"left {count} item{'' if count == 1 else 's'} in the cart {leaf.cart_left_hours:g} h ago"
    )
    return [Spark("cart_left", look.now, text)]


def _passed(leaf: CartLeft | Silent, look: Look) -> float:
    about = _about(leaf, look.state)
    return about if about and look.now >= _due(leaf, look.state) else 0.0


def _is_past(leaf: CartLeft | Silent, look: Look) -> bool:
    return _passed(leaf, look) > 0.0


def _is_up(leaf: ChurnAbove | ValueAbove, look: Look) -> bool:
    """Tell whether a threshold was reached, and the number has not fallen well below it since."""
    known = _number(leaf, look.state.latest) is not None
    return known and look.state.levels.get(leaf.key) == 1.0


def _still_viewed(leaf: Viewed, look: Look) -> bool:
    since = look.now - leaf.within_days * DAY
    return any(_count(view.times, since) >= leaf.viewed for view in look.state.views)


_FIRES: Final[dict[type, Callable[..., list[Spark]]]] = {
    SegmentEntered: _entered,
    SegmentLeft: _left,
    SegmentReentered: _reentered,
    ChurnAbove: _crosses,
    ValueAbove: _crosses,
    Viewed: _viewed,
    CartLeft: _waited,
    Silent: _waited,
}
_HOLDS: Final[dict[type, Callable[[Any, Look], bool]]] = {
    SegmentEntered: lambda leaf, look: look.segment == leaf.segment_entered,
    SegmentLeft: lambda leaf, look: look.segment != leaf.segment_left,
    SegmentReentered: lambda leaf, look: (
        look.segment == leaf.segment_reentered and leaf.segment_reentered in look.state.visited
    ),
    ChurnAbove: _is_up,
    ValueAbove: _is_up,
    Viewed: _still_viewed,
    CartLeft: _is_past,
    Silent: _is_past,
}
_LEVELS: Final[dict[type, Callable[[Any, Look], float | None]]] = {
    ChurnAbove: _level,
    ValueAbove: _level,
    CartLeft: _passed,
    Silent: _passed,
}
