"""What goes out: the records on the output topics, as the hot path encodes them.

Their published contract (JSON Schema, documentation) is `crm_online.contract.records`; a test
holds the two together.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from crm_online.profile import Trait

__all__ = [
    "Interaction",
    "InteractionBatch",
    "ItemReason",
    "NextItemOutcome",
    "Opened",
    "Outcome",
    "Reason",
    "Recommendations",
    "RecommendedItem",
    "ScoreUpdate",
    "Settled",
    "Source",
    "TreatmentSettled",
]


class Source(msgspec.Struct, frozen=True, gc=False):
    """Where in the log a record comes from; sorts in log order within one partition.

    Parameters
    ----------
    epoch
        Raised by the operator when the source topic is a new one under the old name.
    partition, offset
        Of the record on ``crm.events``.
    step
        0 for effects of timers that the record released, 1 for its own.
    due
        Due time of the timer, seconds since 1970; 0 for the event itself.
    index
        Counts effects of one kind at the same place.
    """

    epoch: int
    partition: int
    offset: int
    step: int = 1
    due: float = 0.0
    index: int = 0

    @property
    def as_of(self) -> float:
        """The same place as customers' states count it: timers first, then the record itself."""
        return 2.0 * self.offset + self.step


class Reason(msgspec.Struct, frozen=True, gc=False):
    """One feature's share in a churn score, ready to be read.

    Parameters
    ----------
    feature, value
        Name of the feature, and its value in natural units (days, orders, money).
    contribution
        Signed, in log-odds: above zero speaks for churn.
    text
        A sentence a marketer reads.
    """

    feature: str
    value: float
    contribution: float
    text: str


class ScoreUpdate(msgspec.Struct, frozen=True, gc=False):
    """All scores of one customer, as of one event or one timer (``crm.score.updated``)."""

    score_id: str
    customer_id: str
    message_id: str | None
    at: datetime
    cause: str
    source: Source
    segment: str
    cluster: int | None
    churn_probability: float | None
    calibrated: bool
    churn_reasons: list[Reason]
    expected_value: float | None
    currency: str
    orders: int
    spend: float
    refunds: float
    last_activity_at: datetime | None
    models: dict[str, str]
    first_seen_at: datetime | None = None
    event: str | None = None
    items: list[str] = msgspec.field(default_factory=list)
    timezone: str = ""
    consent: list[str] | None = None
    traits: dict[str, Trait] = msgspec.field(default_factory=dict)
    recommended: list[str] = msgspec.field(default_factory=list)
    unsubscribed: bool = False
    schema_version: int = 1


class ItemReason(msgspec.Struct, frozen=True, gc=False):
    """Why an item is recommended.

    Parameters
    ----------
    source
        ``"session-neighbours"``, ``"covisitation"``, ``"content"`` or ``"trending"``.
    because
        Items of this customer that led to it; empty for trending items.
    text
        A sentence a marketer reads.
    """

    source: str
    because: list[str]
    text: str


class RecommendedItem(msgspec.Struct, frozen=True, gc=False):
    """One item of a list, best first."""

    item_id: str
    score: float
    reason: ItemReason


class Recommendations(msgspec.Struct, frozen=True, gc=False):
    """The newest list of next items for one customer (``crm.recommendations.updated``)."""

    list_id: str
    customer_id: str
    at: datetime
    source: Source
    items: list[RecommendedItem]
    model: str
    schema_version: int = 1


class Opened(msgspec.Struct, frozen=True, gc=False, tag_field="kind", tag="opened"):
    """A prediction that awaits its label (``crm.prediction.opened``)."""

    prediction_id: str
    customer_id: str
    opened_at: datetime
    due_at: datetime
    source: Source
    features: dict[str, float]
    rfm: tuple[float, float, float]
    churn_probability: float | None
    expected_value: float | None
    models: dict[str, str]
    schema_version: int = 1


class Settled(msgspec.Struct, frozen=True, gc=False, tag_field="kind", tag="settled"):
    """A prediction beside what happened (``crm.prediction.settled``); its receipt.

    ``late`` predictions were opened and settled at the same record: they are learned from
    but enter no quality figure.
    """

    prediction_id: str
    customer_id: str
    opened_at: datetime
    due_at: datetime
    source: Source
    features: dict[str, float]
    churn_probability: float | None
    expected_value: float | None
    models: dict[str, str]
    churned: bool
    spend: float
    late: bool
    treatments: dict[str, str] = msgspec.field(default_factory=dict)
    schema_version: int = 1


class NextItemOutcome(msgspec.Struct, frozen=True, gc=False, tag_field="kind", tag="next_item"):
    """Where the item touched next stood in the list before it (``crm.next_item.settled``).

    ``rank`` counts from 1; ``None`` is a miss.
    """

    prediction_id: str
    customer_id: str
    at: datetime
    source: Source
    session: int
    item_id: str
    rank: int | None
    offered: int
    model: str
    schema_version: int = 1


class TreatmentSettled(msgspec.Struct, frozen=True, gc=False, tag_field="kind", tag="treatment"):
    """What became of a customer within the horizon after an action (``crm.treatment.settled``).

    ``treatment`` is ``"treated"`` or ``"control"``; ``share`` of customers were to be control;
    ``first`` of this action for this customer in the period.
    """

    action_id: str
    customer_id: str
    action: str
    period: str
    treatment: str
    at: datetime
    due_at: datetime
    source: Source
    churned: bool
    spend: float
    share: float = 0.0
    first: bool = True
    schema_version: int = 1


Outcome = Opened | Settled | NextItemOutcome | TreatmentSettled


class Interaction(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One customer touched one item; an array on the wire, its fields in this order.

    Parameters
    ----------
    offset, index
        Of the event on its partition of ``crm.events``, and among its items: the mark.
    customer
        Customer id.
    session
        Number of the customer's session.
    item
        Item id.
    kind
        Name of the event, such as ``"Product Viewed"``.
    at
        Event time, seconds since 1970.
    category
        Category of the item as the event names it, or ``""``.
    repeat
        True where the customer bought an item that they are known to have bought before.
    tokens
        What the item is made of, as the catalogue said: hashes of its category, price range and
        words; empty where it is in none.
    """

    offset: int
    index: int
    customer: str
    session: int
    item: str
    kind: str
    at: float
    category: str = ""
    repeat: bool = False
    tokens: tuple[int, ...] = ()


class InteractionBatch(msgspec.Struct, frozen=True, gc=False):
    """The interactions of one batch of one partition (``crm.interactions.observed``)."""

    epoch: int
    partition: int
    interactions: list[Interaction]
    schema_version: int = 1
