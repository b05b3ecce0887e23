"""Actions out, as they are encoded; published as `crm_online.contract.actions`."""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal

import msgspec

from crm_online.scores import Reason, Source

__all__ = ["DELIVERED", "Action", "Status", "Treatment", "Trigger"]

Status = Literal["sent", "held", "released", "expired", "suppressed", "control"]
Treatment = Literal["treated", "control"]
DELIVERED: Final[frozenset[Status]] = frozenset({"sent", "released"})  # what goes out


class Trigger(msgspec.Struct, frozen=True, gc=False):
    """What set an action off.

    Parameters
    ----------
    kind
        As the rule names it.
    at
        Event time at which it came true.
    text
        A sentence a marketer reads.
    item_id
        Where it is about one item.
    """

    kind: str
    at: datetime
    text: str
    item_id: str | None = None


class Action(msgspec.Struct, frozen=True, gc=False):
    """One decision about one customer (``crm.action.decided``).

    ``source`` is a place on ``crm.scores``.
    """

    action_id: str
    customer_id: str
    status: Status
    action: str
    rule: str
    channel: str
    category: str
    at: datetime
    why: str | None
    held_until: datetime | None
    triggers: list[Trigger]
    treatment: Treatment | None
    period: str
    template: dict[str, str]
    items: list[str]
    segment: str
    churn_probability: float | None
    calibrated: bool
    reasons: list[Reason]
    expected_value: float | None
    currency: str
    score_id: str
    source: Source
    rules: str
    schema_version: int = 1
