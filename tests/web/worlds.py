"""What a dashboard is shown in tests: something of everything."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec

from crm_online.log import Message
from crm_online.metrics import (
    ActionEffect,
    ChangeOfChampion,
    ContestUpdate,
    DriftAlarm,
    DriftUpdate,
    QualityUpdate,
    Standing,
    UpliftUpdate,
)
from crm_online.scores import (
    ItemReason,
    Reason,
    Recommendations,
    RecommendedItem,
    ScoreUpdate,
    Source,
)
from streams.figures import RoleFigures
from streams.health import RoleHealth
from tests.receiving import action

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SEGMENTS = ["champions", "cant_lose_them", "lost", "hibernating", "promising"]


class Scorer:
    """A scorer that is as far as the test says."""

    def __init__(self) -> None:
        self.consumed = 0
        self.lag = 4711

    def health(self) -> RoleHealth:
        return RoleHealth("running", 4, self.lag)

    def figures(self) -> RoleFigures:
        lag = {("crm.events", partition): 0 for partition in range(3)} | {
            ("crm.events", 3): self.lag
        }
        return RoleFigures(
            consumed=self.consumed,
            lag=lag,
            rejected={"malformed-json": 2},
            moves={("champions", "at_risk"): 7, ("lost", "promising"): 1},
            actions={("win_back", "sent"): 31, ("win_back", "suppressed"): 5},
        )


def scores() -> tuple[list[Message], list[Message]]:
    """Return scores and a list: one customer with a history, others in each segment."""
    history = [_score(n, "c-1", "cant_lose_them", 0.2 + n / 40) for n in range(20)]
    others = [_score(20 + n, f"c-{n + 2}", SEGMENTS[n % 5], 0.1) for n in range(40)]
    reason = ItemReason("covisitation", ["i-9"], "often bought together with i-9")
    items = [RecommendedItem("i-1", 2.5, reason)]
    listed = Recommendations("l-1", "c-1", NOW, Source(0, 0, 1), items, "next_item@1")
    return [*history, *others], [Message(b"c-1", msgspec.json.encode(listed))]


def acted() -> list[Message]:
    """Return what was decided for the customer with a history."""
    trigger = {"kind": "churn_above", "at": NOW, "text": "likely to leave: 0.7", "item_id": None}
    decided = [
        action("c-1", 1, triggers=[trigger]),
        action("c-1", 2, triggers=[trigger], status="suppressed", why="cap_channel"),
    ]
    return [Message(b"c-1", each.model_dump_json().encode()) for each in decided]


def _score(offset: int, customer: str, segment: str, probability: float) -> Message:
    at = NOW + timedelta(hours=offset)
    update = ScoreUpdate(
        score_id=f"s-{offset}",
        customer_id=customer,
        message_id=None,
        at=at,
        cause="event",
        source=Source(0, 0, offset),
        segment=segment,
        cluster=1,
        churn_probability=probability,
        calibrated=True,
        churn_reasons=[Reason("recency", 40.0, 1.2, "last active 40 days ago")],
        expected_value=21.5,
        currency="EUR",
        orders=3,
        spend=99.5,
        refunds=0.0,
        last_activity_at=at,
        models={"churn": "churn@1"},
    )
    return Message(customer.encode(), msgspec.json.encode(update))


def metrics() -> list[Message]:
    """Return what a learner has said over a few days."""
    made: list[tuple[str, QualityUpdate | DriftUpdate | ContestUpdate | UpliftUpdate]] = []
    for day in range(12):
        at, auc = NOW + timedelta(days=day), 0.7 + day / 100
        figures = {"auc": auc, "log_loss": 0.4, "estimated_auc": auc - 0.02}
        made.append(("quality", _quality("churn", at, day, figures)))
        made.append(("quality", _quality("value", at, day, {"mae": 40.0 - day})))
        made.append(("quality", _quality("next_item", at, day, {"hit_rate": 0.3 + day / 200})))
    half = NOW + timedelta(days=6)
    alarm = DriftAlarm("feature", "recency", 0.31, 0.05, 77, half)
    made.append(("drift", DriftUpdate(half, 0, 77, {"recency": 0.31}, 0.3, 0.01, [alarm])))
    standing = Standing("forest", True, 0.25, -1, 4066, 0, None, None, 0.0, 5.3, "")
    change = ChangeOfChampion(80, half, "promoted", "forest", "main", "mean loss 0.34 against 0.37")
    effects = [
        ActionEffect("returned", 0.42, 0.31, 0.11, 0.04, 0.18, "higher"),
        ActionEffect("spend", 12.0, 11.0, 1.0, None, None, "not yet known"),
    ]
    uplift = UpliftUpdate("win_back", half, 0, 77, 900, 100, 100.0, True, 0.95, effects)
    made.append(("uplift", uplift))
    made.append(("contest", ContestUpdate("churn", half, 0, 80, "forest", [standing], [change])))
    return [
        Message(
            b"learn/-/x", msgspec.json.encode(update), [("ce_type", f"crm.{kind}.updated".encode())]
        )
        for kind, update in made
    ]


def _quality(model: str, at: datetime, day: int, figures: dict[str, float]) -> QualityUpdate:
    return QualityUpdate(model, "last-1000", at, 0, day, "main", 1000, {**figures})
