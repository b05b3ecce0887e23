"""Records of live quality and of workers, as published on ``crm.metrics``."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, StrictStr

from crm_online.contract.times import When

__all__ = [
    "ActionEffect",
    "ChangeOfChampion",
    "ContestUpdate",
    "DriftAlarm",
    "DriftUpdate",
    "QualityUpdate",
    "Standing",
    "UpliftUpdate",
    "WorkerUpdate",
]


class _Record(BaseModel):
    # Readers go on when a field is added; what has a default is written all the same.
    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        hide_input_in_errors=True,
        json_schema_serialization_defaults_required=True,
    )


class QualityUpdate(_Record):
    """How well one model has done in one window."""

    model: StrictStr = Field(description="churn, value or next_item.")
    window: StrictStr = Field(
        description="all, last-1000 or last-10000 outcomes; control: of "
        "customers held out from all that was decided about them meanwhile."
    )
    at: When | None = Field(description="Event time by then; null before the first outcome.")
    epoch: StrictInt = Field(description="Of crm.outcomes.")
    offset: StrictInt = Field(description="Of the last record of crm.outcomes that is counted.")
    champion: StrictStr = Field(description="Who predicts by now; main is the one configured.")
    outcomes: StrictInt = Field(description="Rated ones in the window: in time, and with a number.")
    figures: dict[StrictStr, StrictFloat | None] = Field(
        description="By name; null where a figure does not exist yet."
    )
    schema_version: StrictInt = 1


class DriftAlarm(_Record):
    """Something changed."""

    kind: StrictStr = Field(description="loss, calibration, feature or score.")
    name: StrictStr = Field(description="Of the feature or score; where a loss changed most.")
    value: StrictFloat = Field(description="By now: a mean, or a population stability index.")
    usual: StrictFloat = Field(description="Before.")
    offset: StrictInt = Field(description="Of the record on crm.outcomes that gave it away.")
    at: When = Field(description="Event time.")


class DriftUpdate(_Record):
    """How what models are asked with, answer and cost has changed."""

    at: When | None = Field(description="Event time by then; null before the first outcome.")
    epoch: StrictInt = Field(description="Of crm.outcomes.")
    offset: StrictInt = Field(description="Of the last record of crm.outcomes that is counted.")
    stability: dict[StrictStr, StrictFloat] = Field(
        description="Feature or score to its population stability index in the last cycle."
    )
    loss: StrictFloat = Field(
        description="Mean clipped loss of churn since it last changed, 0 to 1."
    )
    bias: StrictFloat = Field(description="Mean of label less probability since it last changed.")
    alarms: list[DriftAlarm] = Field(description="The last 50, oldest first.")
    schema_version: StrictInt = 1


class Standing(_Record):
    """How one contestant stands."""

    name: StrictStr
    champion: StrictBool
    share: StrictFloat = Field(description="Of predictions that it learns from.")
    since: StrictInt = Field(description="Offset of the last outcome before it joined.")
    learned: StrictInt = Field(description="Outcomes.")
    compared: StrictInt = Field(description="Outcomes of this round.")
    loss: StrictFloat | None = Field(description="Mean over them.")
    champion_loss: StrictFloat | None = Field(description="Of the champion, on the same ones.")
    evidence: StrictFloat = Field(description="That it is better; natural logarithm.")
    needed: StrictFloat = Field(description="To become champion; natural logarithm.")
    benched: StrictStr = Field(description="Why it is out; empty: it is not.")
    min_outcomes: StrictInt | None = Field(
        None, description="Of each kind, from which on it predicts; null from older learners."
    )


class ChangeOfChampion(_Record):
    """Who became champion, was benched, or was refused, when and why."""

    offset: StrictInt = Field(description="Of the record on crm.outcomes that caused it.")
    at: When | None = Field(description="Event time.")
    kind: Literal["promoted", "rolled-back", "benched", "refused"]
    name: StrictStr = Field(description="Whom it is about.")
    before: StrictStr = Field(description="The champion until then.")
    why: StrictStr


class ContestUpdate(_Record):
    """Champion and challengers of one model."""

    model: StrictStr = Field(description="churn or value.")
    at: When | None = Field(description="Event time by then; null before the first outcome.")
    epoch: StrictInt = Field(description="Of crm.outcomes.")
    offset: StrictInt = Field(description="Of the last record of crm.outcomes that is counted.")
    champion: StrictStr = Field(description="Who predicts; main is the one configured.")
    contestants: list[Standing]
    changes: list[ChangeOfChampion] = Field(description="The last 50, oldest first.")
    schema_version: StrictInt = 1


class ActionEffect(_Record):
    """One measure of both groups."""

    measure: StrictStr = Field(description="returned (a share of customers) or spend (a mean).")
    treated: StrictFloat = Field(description="Mean of those who got the action.")
    control: StrictFloat = Field(description="Mean of those who were left alone.")
    difference: StrictFloat = Field(description="Treated less control, weighed by how they drew.")
    low: StrictFloat | None = Field(description="End of the interval; null: not yet known.")
    high: StrictFloat | None = Field(description="The other end.")
    verdict: StrictStr = Field(description="higher, lower or not yet known.")


class UpliftUpdate(_Record):
    """What one action does."""

    action: StrictStr
    at: When | None = Field(description="Event time by then.")
    epoch: StrictInt = Field(description="Of crm.outcomes.")
    offset: StrictInt = Field(description="Of the last record of crm.outcomes that is counted.")
    treated: StrictInt = Field(description="Outcomes; each customer counts once in a period.")
    control: StrictInt
    expected_control: StrictFloat = Field(description="By the shares that were drawn with.")
    balanced: StrictBool = Field(
        description="False: the groups are not as large as drawn; trust no figure here."
    )
    confidence: StrictFloat = Field(
        description="Of the intervals, at all times together: they may be looked at at any time."
    )
    effects: list[ActionEffect]
    schema_version: StrictInt = 1


class WorkerUpdate(_Record):
    """What one role of one worker has done since it started."""

    role: StrictStr = Field(description="Of the worker.")
    worker: StrictStr = Field(description="Names the process: host and process id.")
    at: When = Field(description="By the worker's clock.")
    state: StrictStr = Field(description="As /health/ready says it, such as running.")
    consumed: StrictInt = Field(description="Records read and applied.")
    produced: StrictInt = Field(description="Records delivered; of the cache, records in it.")
    batches: StrictInt = Field(description="Applied.")
    batch_seconds: StrictFloat = Field(description="Spent on them.")
    restored: StrictInt = Field(description="Records read back by restores.")
    to_restore: StrictInt = Field(description="Offsets that a restore has yet to read.")
    lag: dict[StrictStr, StrictInt] = Field(
        description="Topic and partition, as crm.events[3], to records known of and not done with."
    )
    rejected: dict[StrictStr, StrictInt] = Field(description="Reason to dead letters.")
    moves: dict[StrictStr, dict[StrictStr, StrictInt]] = Field(
        default_factory=dict,
        description="Of the cache: segment before, and after, to customers who went that way.",
    )
    actions: dict[StrictStr, dict[StrictStr, StrictInt]] = Field(
        default_factory=dict, description="Of act: action and status to decisions."
    )
    repairs: dict[StrictStr, dict[StrictStr, StrictInt]] = Field(
        default_factory=dict,
        description="Of score: rule, and library that sent the event, to events cleaned by it.",
    )
    schema_version: StrictInt = 1
