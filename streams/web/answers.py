"""What HTTP answers, as the OpenAPI document has it."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from crm_online.contract.actions import Action
from crm_online.contract.metrics import ContestUpdate, DriftUpdate, QualityUpdate, UpliftUpdate
from crm_online.contract.records import Recommendations, ScoreUpdate

__all__ = [
    "Accepted",
    "AtRisk",
    "Customer",
    "Figures",
    "Moment",
    "NotTaken",
    "Refused",
    "SegmentPage",
    "Segments",
    "WorkerFigures",
]


class NotTaken(BaseModel):
    """One event that was not taken."""

    index: int = Field(description="In the request, from 0.")
    reason: str = Field(description="As docs/events.md lists them.")
    message: str


class Accepted(BaseModel):
    """Kafka has the events."""

    success: bool
    accepted: int = Field(description="How many.")
    rejected: list[NotTaken] = Field(description="The first hundred that are no events.")


class Refused(BaseModel):
    """Nothing was done."""

    success: bool
    code: str = Field(description="For programs.")
    message: str = Field(description="For people: what is wrong, and what to do.")
    rejected: list[NotTaken] | None = Field(None, description="At the intake.")


class Customer(BaseModel):
    """What the cache holds of one customer."""

    customer_id: str
    scores: ScoreUpdate | None
    recommendations: Recommendations | None
    scores_history: list[ScoreUpdate] | None = Field(
        None, description="The newest 50, newest first, where history was asked for."
    )
    recommendations_history: list[Recommendations] | None = Field(None, description="The same.")
    actions: list[Action] | None = Field(
        None, description="The same: what was done, and what was held back and why."
    )
    expires_in_seconds: float | None = Field(description="Until the cache forgets the scores.")


class SegmentPage(BaseModel):
    """Some customers of a segment."""

    segment: str
    customers: list[ScoreUpdate] = Field(description="May be empty before the last page.")
    cursor: int = Field(description="Of the next page; 0 after the last one.")


class AtRisk(BaseModel):
    """Those most likely to leave."""

    customers: list[ScoreUpdate] = Field(description="Highest probability first.")


class Segments(BaseModel):
    """How many customers each segment has."""

    segments: dict[str, int]
    at_risk: int


class WorkerFigures(BaseModel):
    """One role of one worker."""

    role: str
    worker: str
    state: str
    events_per_second: float
    lag: dict[str, int] = Field(description="Topic and partition to records.")


class Moment(BaseModel):
    """How well a model did at one moment."""

    at: str | None = Field(description="Event time.")
    settled: float | None = Field(description="From settled predictions.")
    estimated: float | None = Field(description="From open ones.")


class Figures(BaseModel):
    """What the dashboard shows."""

    events_per_second: float
    rates: list[tuple[float, float]] = Field(description="Seconds since 1970, events a second.")
    workers: list[WorkerFigures]
    quality: list[QualityUpdate]
    curves: dict[str, list[Moment]] = Field(description="Model to its quality over time.")
    drift: DriftUpdate | None
    contests: list[ContestUpdate]
    dead_letters: dict[str, int] = Field(description="Reason to how many, of running workers.")
    moves: dict[str, dict[str, int]] = Field(
        description="Segment before, and after, to customers who went that way, by running workers."
    )
    actions: dict[str, dict[str, int]] = Field(
        description="Action and status to decisions, by running workers."
    )
    uplift: list[UpliftUpdate] = Field(description="Treated against control, by action.")
    cache: dict[str, Any] = Field(description="`segments` and `at_risk`, or `away` with a reason.")
