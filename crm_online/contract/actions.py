"""Actions out, as published on ``crm.actions``; `crm_online.actions.records` encodes the same."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, StrictStr

from crm_online.contract.times import When

__all__ = ["Action", "ActionReason", "Place", "Trigger"]


class _Record(BaseModel):
    # Readers go on when a field is added; what has a default is written all the same.
    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        hide_input_in_errors=True,
        json_schema_serialization_defaults_required=True,
    )


class Place(_Record):
    """Where in the log an action comes from; sorts in log order within one partition."""

    epoch: StrictInt = Field(description="Rises when a new topic takes the old one's name.")
    partition: StrictInt = Field(description="Of the record on crm.scores.")
    offset: StrictInt = Field(description="Of the record on crm.scores.")
    step: StrictInt = Field(1, description="0: a timer that the record released; 1: its own.")
    due: StrictFloat = Field(0.0, description="Due time of the timer, seconds since 1970.")
    index: StrictInt = Field(0, description="Counts actions on one customer at the same place.")


class Trigger(_Record):
    """What set an action off."""

    kind: StrictStr = Field(
        description="segment_entered, segment_left, segment_reentered, churn_above, value_above, "
        "viewed, cart_left or silent."
    )
    at: When = Field(description="Event time at which it came true.")
    text: StrictStr = Field(description="A sentence a marketer reads.")
    item_id: StrictStr | None = Field(None, description="Where it is about one item.")


class ActionReason(_Record):
    """One feature's share in the churn score that the action goes by."""

    feature: StrictStr
    value: StrictFloat = Field(description="In natural units: days, orders, money.")
    contribution: StrictFloat = Field(description="Signed log-odds; above 0 speaks for churn.")
    text: StrictStr = Field(description="A sentence a marketer reads.")


class Action(_Record):
    """One decision about one customer: what marketing should do, or why it should not."""

    action_id: StrictStr = Field(
        description="32 hexadecimal digits, the same for every repeat. What was held and what "
        "then became of it share it, so at most one record of an id says sent or released."
    )
    customer_id: StrictStr
    status: Literal["sent", "held", "released", "expired", "suppressed", "control"] = Field(
        description="To be delivered: sent, and released (after quiet hours). Not: held, expired, "
        "suppressed, and control (the customer is in the control group)."
    )
    action: StrictStr = Field(description="Name of what is to be done, as the rule says.")
    rule: StrictStr = Field(description="Name of the rule.")
    channel: StrictStr = Field(description="As the rule says, such as email.")
    category: StrictStr = Field(description="Of consent, as the rule says, such as marketing.")
    at: When = Field(description="Event time of the decision.")
    why: StrictStr | None = Field(
        description="Of held, expired and suppressed: quiet_hours; too_late, no_longer_true; "
        "stale, suppression_list, consent, unsubscribed, waits_already, cap_action, cap_channel, "
        "cap_overall or rate_limit."
    )
    held_until: When | None = Field(description="Of held: when it is decided again.")
    triggers: list[Trigger] = Field(description="What came true at once; the first named first.")
    treatment: Literal["treated", "control"] | None = Field(
        description="Group of the experiment; null while it is open, and for what came to nothing."
    )
    period: StrictStr = Field(description="Of the control group: customers are drawn anew in each.")
    template: dict[StrictStr, StrictStr] = Field(description="Template data, filled in.")
    items: list[StrictStr] = Field(description="Recommended items, the best first.")
    segment: StrictStr
    churn_probability: StrictFloat | None
    calibrated: StrictBool = Field(description="As in the score.")
    reasons: list[ActionReason] = Field(description="Of the churn score; the strongest first.")
    expected_value: StrictFloat | None = Field(description="In major units.")
    currency: StrictStr
    score_id: StrictStr = Field(description="Of the newest score by then.")
    source: Place
    rules: StrictStr = Field(description="Version of the rule set: 12 hexadecimal digits.")
    schema_version: StrictInt = 1
