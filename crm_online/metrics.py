"""What the roles say of their models and of themselves on ``crm.metrics``, as it is encoded.

The published contract is `crm_online.contract.metrics`; a test holds the two together.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

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


class QualityUpdate(msgspec.Struct, frozen=True, gc=False):
    """How well one model has done in one window (``crm.quality.updated``)."""

    model: str
    window: str
    at: datetime | None
    epoch: int
    offset: int
    champion: str
    outcomes: int
    figures: dict[str, float | None]
    schema_version: int = 1


class DriftAlarm(msgspec.Struct, frozen=True, gc=False):
    """Something changed, by a record on ``crm.outcomes``."""

    kind: str
    name: str
    value: float
    usual: float
    offset: int
    at: datetime


class DriftUpdate(msgspec.Struct, frozen=True, gc=False):
    """How what models are asked with, answer and cost has changed (``crm.drift.updated``)."""

    at: datetime | None
    epoch: int
    offset: int
    stability: dict[str, float]
    loss: float
    bias: float
    alarms: list[DriftAlarm]
    schema_version: int = 1


class Standing(msgspec.Struct, frozen=True, gc=False):
    """How one contestant stands.

    ``loss`` and ``champion_loss`` are means over the outcomes of this round that both learned from;
    ``evidence`` and ``needed`` are natural logarithms.
    """

    name: str
    champion: bool
    share: float
    since: int
    learned: int
    compared: int
    loss: float | None
    champion_loss: float | None
    evidence: float
    needed: float
    benched: str
    min_outcomes: int | None = None


class ChangeOfChampion(msgspec.Struct, frozen=True, gc=False):
    """Who became champion, was benched, or was refused, when and why."""

    offset: int
    at: datetime | None
    kind: Literal["promoted", "rolled-back", "benched", "refused"]
    name: str
    before: str
    why: str


class ContestUpdate(msgspec.Struct, frozen=True, gc=False):
    """Champion and challengers of one model (``crm.contest.updated``)."""

    model: str
    at: datetime | None
    epoch: int
    offset: int
    champion: str
    contestants: list[Standing]
    changes: list[ChangeOfChampion]
    schema_version: int = 1


class ActionEffect(msgspec.Struct, frozen=True, gc=False):
    """One measure of both groups, and the confidence sequence of treated less control."""

    measure: str
    treated: float
    control: float
    difference: float
    low: float | None
    high: float | None
    verdict: str


class UpliftUpdate(msgspec.Struct, frozen=True, gc=False):
    """What one action does (``crm.uplift.updated``)."""

    action: str
    at: datetime | None
    epoch: int
    offset: int
    treated: int
    control: int
    expected_control: float
    balanced: bool
    confidence: float
    effects: list[ActionEffect]
    schema_version: int = 1


class WorkerUpdate(msgspec.Struct, frozen=True, gc=False):
    """What one role of one worker has done since it started (``crm.worker.updated``).

    ``lag`` is of what it holds: topic and partition, as ``crm.events[3]``, to records. ``moves``
    are from segment to segment, by the cache; ``actions`` by name and status; ``repairs`` by rule
    and the library that sent the event.
    """

    role: str
    worker: str
    at: datetime
    state: str
    consumed: int
    produced: int
    batches: int
    batch_seconds: float
    restored: int
    to_restore: int
    lag: dict[str, int]
    rejected: dict[str, int]
    moves: dict[str, dict[str, int]] = msgspec.field(default_factory=dict)
    actions: dict[str, dict[str, int]] = msgspec.field(default_factory=dict)
    repairs: dict[str, dict[str, int]] = msgspec.field(default_factory=dict)
    schema_version: int = 1
