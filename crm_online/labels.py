"""Predictions on their grid, and the labels they await, in event time."""

from __future__ import annotations

from math import ceil
from typing import NamedTuple

import msgspec

from crm_online.customers.state import DAY, CustomerState, Prediction
from crm_online.customers.treated import Treated
from crm_online.settings import Settings

__all__ = ["Fired", "Schedule", "Settlement", "TreatmentSettlement", "fire", "next_due", "wake"]


class Schedule(msgspec.Struct, frozen=True):
    """When predictions open, settle and customers expire; all in seconds."""

    interval: float
    horizon: float
    active: float
    ttl: float
    churn_on_orders: bool

    @classmethod
    def of(cls, settings: Settings) -> Schedule:
        """Take the schedule from the settings."""
        return cls(
            settings.prediction_interval_days * DAY,
            settings.horizon_days * DAY,
            settings.active_days * DAY,
            settings.state_ttl_days * DAY,
            settings.churn_on == "order",
        )


class Settlement(NamedTuple):
    """One prediction beside its label: churned or not, and gross spend in minor units.

    `treatments` are those decided since it was opened: action to ``"treated"`` or ``"control"``.
    """

    prediction: Prediction
    due: float
    churned: bool
    spend: int
    treatments: dict[str, str]


class TreatmentSettlement(NamedTuple):
    """One treatment beside what followed: churned or not, and gross spend in minor units."""

    treated: Treated
    due: float
    churned: bool
    spend: int


class Fired(NamedTuple):
    """What one due time of one customer brought about."""

    settled: list[Settlement]
    treated: list[TreatmentSettlement]
    opened: Prediction | None
    expired: bool


def next_due(state: CustomerState, schedule: Schedule) -> float:
    """Return when this customer wants attention next, seconds of event time."""
    due = state.last_seen + schedule.ttl
    if state.predictions:
        due = min(due, state.predictions[0].opened + schedule.horizon)
    if state.treatments:
        due = min(due, state.treatments[0].at + schedule.horizon)
    if state.grid > 0:
        due = min(due, state.origin + state.grid * schedule.interval)
    return due


def wake(state: CustomerState, schedule: Schedule) -> None:
    """Put a customer who has just been active back on the grid.

    The grid is ``origin + k * interval``. While a customer sleeps, `grid` holds the negative
    of the last step done, so that no step opens twice.
    """
    if state.grid <= 0 and state.activities:
        step = ceil((state.last_activity - state.origin) / schedule.interval)
        state.grid = max(step, 1 - state.grid)


def fire(state: CustomerState, watermark: float, schedule: Schedule) -> Fired:
    """Do what is due for one customer at ``state.next_due``: settle, open, expire, in this order.

    Parameters
    ----------
    state
        Changed in place; its clock moves to the next due time.
    watermark
        Highest event time so far; strictly past the due time.
    schedule
        From the settings.
    """
    due = state.next_due
    settled = []
    while state.predictions and state.predictions[0].opened + schedule.horizon <= due:
        settled.append(_settle(state, state.predictions.pop(0), due, schedule))
    treated = []
    while state.treatments and state.treatments[0].at + schedule.horizon <= due:
        treated.append(_settle_treatment(state, state.treatments.pop(0), due, schedule))
    opened = None
    if state.grid > 0 and state.origin + state.grid * schedule.interval <= due:
        opened = _open(state, due, watermark, schedule)
    expired = due >= state.last_seen + schedule.ttl
    state.next_due = next_due(state, schedule)
    return Fired(settled, treated, opened, expired)


def _open(
    state: CustomerState, due: float, watermark: float, schedule: Schedule
) -> Prediction | None:
    opened = None
    if due - state.last_activity <= schedule.active:
        opened = Prediction(due, state.spend, late=watermark > due + schedule.horizon)
        state.predictions.append(opened)
    following = state.origin + (state.grid + 1) * schedule.interval
    sleeps = following - state.last_activity > schedule.active
    state.grid = -state.grid if sleeps else state.grid + 1
    return opened


def _settle(
    state: CustomerState, prediction: Prediction, due: float, schedule: Schedule
) -> Settlement:
    churned = prediction.cancelled or not _was_seen(state, prediction.opened, schedule)
    # Who was sent an action in one period was not held out from it, whatever the next one drew.
    arms = sorted(state.treatments, key=lambda treated: not treated.control)
    treatments = {t.action: "control" if t.control else "treated" for t in arms}
    spend = max(state.spend - prediction.spend, 0)
    return Settlement(prediction, due, churned, spend, treatments)


def _settle_treatment(
    state: CustomerState, treated: Treated, due: float, schedule: Schedule
) -> TreatmentSettlement:
    churned = not _was_seen(state, treated.at, schedule)
    return TreatmentSettlement(treated, due, churned, max(state.spend - treated.spend, 0))


def _was_seen(state: CustomerState, since: float, schedule: Schedule) -> bool:
    last = state.last_order if schedule.churn_on_orders else state.last_activity
    return last > since
