"""What is known of one customer, and how one event changes it."""

from __future__ import annotations

from math import exp, log1p
from typing import Final

import msgspec

from crm_online.customers.dedupe import remember
from crm_online.customers.treated import NEVER, Treated
from crm_online.events import CustomerEvent
from crm_online.kinds import INTERACTION, ORDER, REFUND, SUBSCRIPTION_CANCELLED, UNSUBSCRIBED
from crm_online.money import Money
from crm_online.profile import Trait, read_traits

__all__ = [
    "BOUGHT",
    "DAY",
    "TOUCHED",
    "CustomerState",
    "Prediction",
    "Rules",
    "apply_event",
]

DAY: Final = 86_400.0
LARGEST: Final = 2**62  # what msgpack and int64 hold with room for a difference
TOUCHED: Final = 16  # newest items kept: what one slot of the session index holds
BOUGHT: Final = 24
NEWEST_ORDER: Final = 0.3  # its weight in what a customer usually orders


class Prediction(msgspec.Struct, array_like=True, gc=False):
    """A prediction that awaits its label; about 105 bytes at rest.

    Parameters
    ----------
    opened
        Due time on the grid at which it was made, seconds.
    spend
        Gross spend of the customer at that moment, minor units.
    numbers
        float32 bytes: the features, then churn probability and expected value (NaN: none yet).
    churn_offset, value_offset
        Input offsets of the model snapshots that predicted; -1: none yet.
    late
        Opened when its label was already due.
    cancelled
        The customer cancelled within the horizon: the label is fixed.
    churn_by, value_by
        Names of the challengers that predicted; "": the model that is configured itself.
    """

    opened: float
    spend: int
    numbers: bytes = b""
    churn_offset: int = -1
    value_offset: int = -1
    late: bool = False
    cancelled: bool = False
    churn_by: str = ""
    value_by: str = ""


class CustomerState(msgspec.Struct, array_like=True, gc=False):
    """One customer. Its bytes are a msgpack array whose first four fields have a fixed width.

    Fields may be appended with defaults: old bytes still load, and old code skips the new.
    Times are seconds since 1970, money is in minor units, gaps are in days.
    """

    version: int = 1
    epoch: int = 0
    as_of: float = -1.0
    next_due: float = float("inf")

    first_seen: float = 0.0
    last_seen: float = 0.0
    origin: float = 0.0  # of the prediction grid: the first activity applied
    grid: int = 0  # next step of the grid to open; 0: none
    last_activity: float = 0.0
    activities: int = 0
    occasions: int = 0  # visits, or orders where churn is about orders
    last_occasion: float = 0.0
    last_gap: float = 0.0
    gap_mean: float = 0.0
    gap_m2: float = 0.0
    activity_30: float = 0.0  # decayed counts and sums, as of last_seen
    activity_90: float = 0.0
    spend_90: float = 0.0
    orders: int = 0
    last_order: float = 0.0
    spend: int = 0
    last_total: int = 0
    basket: int = 0
    refunds: int = 0
    session: int = 0
    session_items: int = 0  # how many of `items` belong to the open session
    last_touch: float = 0.0
    items: tuple[str, ...] = ()
    bought: tuple[str, ...] = ()
    offered: tuple[str, ...] = ()
    offered_session: int = 0
    offered_model: int = -1
    recent_ids: bytes = b""
    predictions: list[Prediction] = msgspec.field(default_factory=list)
    offered_as_of: float = -1.0  # of the last list that was published
    scored_as_of: float = -1.0  # of the last score
    occasions_60: float = 0.0  # as `activity_30`
    spend_30: float = 0.0
    refunds_90: float = 0.0  # a count
    longest_gap: float = 0.0
    quantity: float = 0.0  # units of a product, logarithm, newest orders first
    timezone: str = ""
    consent: tuple[str, ...] | None = None  # categories; None: not enforced
    traits: dict[str, Trait] = msgspec.field(default_factory=dict)
    treatments: list[Treated] = msgspec.field(default_factory=list)
    treated: tuple[int, int, int, float, int] = NEVER  # place on crm.scores of the last one
    unsubscribed: bool = False
    consent_at: float = 0.0  # of the event that said so

    @property
    def place(self) -> tuple[int, float]:
        """How far in the log this is: epoch, then ``as_of``."""
        return self.epoch, self.as_of

    def move_to(self, place: tuple[int, float]) -> None:
        """Take a place; what went out in a lower epoch came before all of this one."""
        if self.epoch != place[0]:
            self.scored_as_of = self.offered_as_of = -1.0
        self.epoch, self.as_of = place


class Rules(msgspec.Struct, frozen=True):
    """The settings that a customer's arithmetic depends on."""

    activity: frozenset[int]
    churn_on_orders: bool
    session_gap: float
    money: Money
    traits: frozenset[str] = frozenset()


def apply_event(state: CustomerState, event: CustomerEvent, rules: Rules) -> None:
    """Change a customer's state by one event that was not seen before.

    Of an event behind the customer's last one, what commutes (counts, sums, decayed sums, firsts
    and lasts) is applied all the same; what depends on order (gaps, sessions) is not.

    Parameters
    ----------
    state
        Changed in place.
    event
        A valid event of this customer.
    rules
        From the settings.
    """
    if not state.first_seen:
        state.first_seen = state.last_seen = event.at
    days = (event.at - state.last_seen) / DAY
    _move_clock(state, event.at, days)
    if event.message_id:
        state.recent_ids = remember(state.recent_ids, event.message_id, state.last_seen)
    if event.kind in rules.activity:
        _apply_activity(state, event, rules, days)
    if event.kind == ORDER:
        _apply_order(state, event, rules, days)
    elif event.kind == REFUND:
        _apply_refund(state, event, rules, days)
    elif event.kind == SUBSCRIPTION_CANCELLED:
        _fix_labels(state, event.at)
    elif event.kind in UNSUBSCRIBED:
        state.unsubscribed = True
    if event.items and event.kind in INTERACTION and days >= 0.0:
        _apply_touch(state, event, rules)
    _apply_profile(state, event, rules, days)


def _move_clock(state: CustomerState, at: float, days: float) -> None:
    if days < 0.0:
        state.first_seen = min(state.first_seen, at)
    elif days:
        _decay(state, days)
        state.last_seen = at


def _fix_labels(state: CustomerState, at: float) -> None:
    """Take a cancellation as churn, whatever follows, for all predictions that are open."""
    for prediction in state.predictions:
        prediction.cancelled = prediction.cancelled or at > prediction.opened


def _decay(state: CustomerState, days: float) -> None:
    month, month3 = exp(-days / 30.0), exp(-days / 90.0)
    state.activity_30 *= month
    state.spend_30 *= month
    state.occasions_60 *= exp(-days / 60.0)
    state.activity_90 *= month3
    state.spend_90 *= month3
    state.refunds_90 *= month3


def _apply_activity(state: CustomerState, event: CustomerEvent, rules: Rules, days: float) -> None:
    late = min(days, 0.0)
    state.activity_30 += exp(late / 30.0)
    state.activity_90 += exp(late / 90.0)
    if not rules.churn_on_orders and event.at - state.last_activity > rules.session_gap:
        _apply_occasion(state, event.at, late)
    if not state.activities:
        state.origin = event.at
    state.activities += 1
    state.last_activity = max(state.last_activity, event.at)


def _apply_occasion(state: CustomerState, at: float, late: float = 0.0) -> None:
    """Welford's running mean and variance of the gaps between occasions."""
    state.occasions_60 += exp(late / 60.0)
    if state.occasions:
        state.last_gap = gap = max(0.0, (at - state.last_occasion) / DAY)
        state.longest_gap = max(state.longest_gap, gap)
        delta = gap - state.gap_mean
        state.gap_mean += delta / state.occasions
        state.gap_m2 += delta * (gap - state.gap_mean)
    state.occasions += 1
    state.last_occasion = max(at, state.last_occasion)


def _apply_order(state: CustomerState, event: CustomerEvent, rules: Rules, days: float) -> None:
    if rules.churn_on_orders and days >= 0.0:
        _apply_occasion(state, event.at)
    state.orders += 1
    newest = event.at >= state.last_order
    if newest:
        state.last_order = event.at
        state.basket = len(event.items)
        _apply_quantity(state, event)
    state.bought = _newest(state.bought, tuple([i.product_id for i in event.items]), BOUGHT)
    paid = rules.money.in_base(event.revenue, event.currency, event.at)
    if paid is None:
        return
    state.spend = min(state.spend + paid, LARGEST)
    late = min(days, 0.0)
    state.spend_30 += paid * exp(late / 30.0)
    state.spend_90 += paid * exp(late / 90.0)
    if newest:
        state.last_total = paid
    for prediction in state.predictions:  # bought before the opening, seen only now
        if event.at <= prediction.opened:
            prediction.spend += paid


def _apply_quantity(state: CustomerState, event: CustomerEvent) -> None:
    if event.items:
        logs = [log1p(max(item.quantity, 0)) for item in event.items]
        weight = max(NEWEST_ORDER, 1.0 / state.orders)
        state.quantity += weight * (sum(logs) / len(logs) - state.quantity)


def _apply_refund(state: CustomerState, event: CustomerEvent, rules: Rules, days: float) -> None:
    state.refunds_90 += exp(min(days, 0.0) / 90.0)
    returned = rules.money.in_base(event.revenue, event.currency, event.at)
    state.refunds = min(state.refunds + (returned or 0), LARGEST)


def _apply_touch(state: CustomerState, event: CustomerEvent, rules: Rules) -> None:
    if not state.session or event.at - state.last_touch >= rules.session_gap:
        state.session += 1
        state.session_items = 0
    state.last_touch = event.at
    touched = tuple([i.product_id for i in event.items])
    state.items = (state.items + touched)[-TOUCHED:]
    state.session_items = min(state.session_items + len(touched), TOUCHED)


def _apply_profile(state: CustomerState, event: CustomerEvent, rules: Rules, days: float) -> None:
    if event.consent is not None and event.at >= state.consent_at:
        state.consent, state.consent_at = event.consent, event.at
    if days < 0.0:
        return
    if event.timezone:
        state.timezone = event.timezone
    if event.traits and rules.traits:
        said = state.traits | read_traits(event.traits, rules.traits)
        state.traits = {name: value for name, value in said.items() if value is not None}


def _newest(kept: tuple[str, ...], added: tuple[str, ...], size: int) -> tuple[str, ...]:
    """Append without repeats, the newest last, at most `size` long."""
    fresh = tuple(dict.fromkeys(reversed(added)))[::-1]
    again = set(fresh)
    return (tuple([i for i in kept if i not in again]) + fresh)[-size:]
