"""Records out, as published.

The hot path encodes the same with the Structs of `crm_online.scores`; a test holds the two
together.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
)

from crm_online.contract.actions import Action
from crm_online.contract.metrics import (
    ContestUpdate,
    DriftUpdate,
    QualityUpdate,
    UpliftUpdate,
    WorkerUpdate,
)
from crm_online.contract.times import When

__all__ = [
    "RECORDS",
    "DeadLetterHeaders",
    "Interaction",
    "InteractionBatch",
    "ItemReason",
    "NextItemOutcome",
    "Opened",
    "Reason",
    "Recommendations",
    "RecommendedItem",
    "ScoreUpdate",
    "Settled",
    "Source",
    "TreatmentSettled",
]


class _Record(BaseModel):
    # Readers go on when a field is added; what has a default is written all the same.
    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        hide_input_in_errors=True,
        json_schema_serialization_defaults_required=True,
    )


class Source(_Record):
    """Where in the log a record comes from; sorts in log order within one partition."""

    epoch: StrictInt = Field(description="Rises when a new topic takes the old one's name.")
    partition: StrictInt = Field(description="Of the record on crm.events.")
    offset: StrictInt = Field(description="Of the record on crm.events.")
    step: StrictInt = Field(1, description="0: a timer that the record released; 1: its own.")
    due: StrictFloat = Field(0.0, description="Due time of the timer, seconds since 1970.")
    index: StrictInt = Field(0, description="Counts effects of one kind at the same place.")


class Reason(_Record):
    """One feature's share in a churn score."""

    feature: StrictStr = Field(description="Name of the feature.")
    value: StrictFloat = Field(description="In natural units: days, orders, money.")
    contribution: StrictFloat = Field(description="Signed log-odds; above 0 speaks for churn.")
    text: StrictStr = Field(description="A sentence a marketer reads.")


class ScoreUpdate(_Record):
    """All scores of one customer, as of one event or one timer."""

    score_id: StrictStr = Field(description="The same for every repeat of this record.")
    customer_id: StrictStr
    message_id: StrictStr | None = Field(description="messageId of the event that caused it.")
    at: When = Field(description="Event time.")
    cause: StrictStr = Field(
        description="event, timer (rescored in silence) or rescoring (after a stale write)."
    )
    source: Source
    segment: StrictStr = Field(description="One of the eleven RFM segments.")
    cluster: StrictInt | None = Field(description="Data-driven group; null before there is one.")
    churn_probability: StrictFloat | None = Field(
        description="Within the horizon, 0 to 1; null before any outcome is known."
    )
    calibrated: StrictBool = Field(
        description="False: the probability is the base rate observed so far."
    )
    churn_reasons: list[Reason] = Field(description="The strongest first.")
    expected_value: StrictFloat | None = Field(
        description="Spend within the horizon, in major units; null before any is known."
    )
    currency: StrictStr = Field(description="Of all amounts here.")
    orders: StrictInt
    spend: StrictFloat = Field(description="Of all orders, in major units.")
    refunds: StrictFloat = Field(description="In major units, positive.")
    last_activity_at: When | None
    models: dict[StrictStr, StrictStr] = Field(description="Model name to the version used.")
    first_seen_at: When | None = Field(None, description="Of the customer's first event.")
    event: StrictStr | None = Field(None, description="Name of the event that caused it.")
    items: list[StrictStr] = Field([], description="Of that event.")
    timezone: StrictStr = Field("", description="As events name it; empty: none did.")
    consent: list[StrictStr] | None = Field(
        None, description="Categories consented to; null: consent is not enforced."
    )
    traits: dict[StrictStr, StrictStr | StrictBool | StrictFloat] = Field(
        {}, description="Those of the setting kept_traits."
    )
    recommended: list[StrictStr] = Field([], description="Items of the newest list, best first.")
    unsubscribed: StrictBool = Field(default=False, description="From e-mail, or called it spam.")
    schema_version: StrictInt = 1


class ItemReason(_Record):
    """Why an item is recommended."""

    source: StrictStr = Field(description="session-neighbours, covisitation, content or trending.")
    because: list[StrictStr] = Field(description="Items of this customer that led to it.")
    text: StrictStr = Field(description="A sentence a marketer reads.")


class RecommendedItem(_Record):
    """One item of a list."""

    item_id: StrictStr
    score: StrictFloat = Field(description="Comparable within one list only.")
    reason: ItemReason


class Recommendations(_Record):
    """The newest list of next items for one customer."""

    list_id: StrictStr = Field(description="The same for every repeat of this record.")
    customer_id: StrictStr
    at: When = Field(description="Event time.")
    source: Source
    items: list[RecommendedItem] = Field(description="The best first.")
    model: StrictStr = Field(description="Version of the model that ranked them.")
    schema_version: StrictInt = 1


class Opened(_Record):
    """A prediction that awaits its label."""

    kind: Literal["opened"] = "opened"
    prediction_id: StrictStr
    customer_id: StrictStr
    opened_at: When
    due_at: When = Field(description="When its label is known.")
    source: Source
    features: dict[StrictStr, StrictFloat] = Field(description="As of opened_at.")
    rfm: tuple[StrictFloat, StrictFloat, StrictFloat] = Field(
        description="Days since the last activity, occasions, spend."
    )
    churn_probability: StrictFloat | None
    expected_value: StrictFloat | None
    models: dict[StrictStr, StrictStr]
    schema_version: StrictInt = 1


class Settled(_Record):
    """A prediction beside what happened."""

    kind: Literal["settled"] = "settled"
    prediction_id: StrictStr
    customer_id: StrictStr
    opened_at: When
    due_at: When
    source: Source
    features: dict[StrictStr, StrictFloat] = Field(description="As of opened_at.")
    churn_probability: StrictFloat | None
    expected_value: StrictFloat | None
    models: dict[StrictStr, StrictStr]
    churned: StrictBool
    spend: StrictFloat = Field(description="Between opened_at and due_at, in major units.")
    late: StrictBool = Field(description="Opened and settled at once: in no quality figure.")
    treatments: dict[StrictStr, StrictStr] = Field(
        {}, description="Action to treated or control, of those decided within the horizon."
    )
    schema_version: StrictInt = 1


class NextItemOutcome(_Record):
    """Where the item touched next stood in the list before it."""

    kind: Literal["next_item"] = "next_item"
    prediction_id: StrictStr
    customer_id: StrictStr
    at: When
    source: Source
    session: StrictInt
    item_id: StrictStr
    rank: StrictInt | None = Field(description="Counts from 1; null is a miss.")
    offered: StrictInt = Field(description="Length of the list.")
    model: StrictStr
    schema_version: StrictInt = 1


class TreatmentSettled(_Record):
    """What became of a customer within the horizon after an action."""

    kind: Literal["treatment"] = "treatment"
    action_id: StrictStr
    customer_id: StrictStr
    action: StrictStr
    period: StrictStr = Field(description="Of the control group.")
    treatment: StrictStr = Field(description="treated or control.")
    at: When = Field(description="Event time of the action.")
    due_at: When
    source: Source
    churned: StrictBool = Field(description="No activity, or no order, between at and due_at.")
    spend: StrictFloat = Field(description="Between at and due_at, in major units.")
    share: StrictFloat = Field(0.0, description="Of customers who were to be control.")
    first: StrictBool = Field(
        default=True, description="Of this action for this customer in the period."
    )
    schema_version: StrictInt = 1


class Interaction(NamedTuple):
    """One customer touched one item; an array on the wire, its fields in this order."""

    offset: StrictInt
    index: StrictInt  # type: ignore[assignment]  # hides tuple.index, which nobody calls
    customer: StrictStr
    session: StrictInt
    item: StrictStr
    kind: StrictStr
    at: StrictFloat
    category: StrictStr = ""
    repeat: StrictBool = False
    tokens: tuple[StrictInt, ...] = ()


class InteractionBatch(_Record):
    """The interactions of one batch of one partition."""

    epoch: StrictInt
    partition: StrictInt
    interactions: list[Interaction]
    schema_version: StrictInt = 1


class DeadLetterHeaders(_Record):
    """Headers of a dead letter, all UTF-8 text; its value is the rejected bytes."""

    exception: str = Field(
        alias="__streams.errors.exception", description="EventRejected:<reason>."
    )
    message: str = Field(
        alias="__streams.errors.message", description="What is wrong, free of personal data."
    )
    topic: str = Field(alias="__streams.errors.topic")
    partition: str = Field(alias="__streams.errors.partition", pattern=r"^\d+$")
    offset: str = Field(alias="__streams.errors.offset", pattern=r"^\d+$")
    truncated: str | None = Field(
        None,
        alias="__streams.errors.truncated",
        pattern=r"^\d+$",
        description="Full length in bytes of a value that was cut.",
    )


RECORDS: dict[str, type[BaseModel]] = {
    "crm.score.updated": ScoreUpdate,
    "crm.recommendations.updated": Recommendations,
    "crm.prediction.opened": Opened,
    "crm.prediction.settled": Settled,
    "crm.next_item.settled": NextItemOutcome,
    "crm.interactions.observed": InteractionBatch,
    "crm.quality.updated": QualityUpdate,
    "crm.drift.updated": DriftUpdate,
    "crm.contest.updated": ContestUpdate,
    "crm.uplift.updated": UpliftUpdate,
    "crm.worker.updated": WorkerUpdate,
    "crm.action.decided": Action,
    "crm.treatment.settled": TreatmentSettled,
}
