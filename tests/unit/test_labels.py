"""What a settled prediction says of the actions decided meanwhile."""

from __future__ import annotations

import pytest

from crm_online.customers.state import DAY, CustomerState, Prediction
from crm_online.customers.treated import Treated
from crm_online.labels import Schedule, fire
from crm_online.settings import Settings


@pytest.mark.parametrize("first", [True, False])
def test_who_was_treated_in_one_period_is_not_held_out_by_another(first: bool) -> None:
    schedule = Schedule.of(Settings(horizon_days=10))
    decided = [
        Treated(f"a{n}", "win-back", str(n), control, n * DAY, 0)
        for n, control in ((1, first), (2, not first))
    ]
    state = CustomerState(
        last_seen=0.0,
        predictions=[Prediction(0.0, 0)],
        treatments=[*decided, Treated("a3", "nudge", "2", control=True, at=2 * DAY, spend=0)],
        next_due=10 * DAY,
    )
    [settled] = fire(state, 10 * DAY + 1.0, schedule).settled
    assert settled.treatments == {"win-back": "treated", "nudge": "control"}
