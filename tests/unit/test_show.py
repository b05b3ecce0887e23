"""What `crm-online show` prints."""

from __future__ import annotations

import io
import json
from typing import Any

from rich.console import Console

from streams.show import as_json, render

SCORES: dict[str, Any] = {
    "at": "2024-05-01T10:00:00Z",
    "cause": "event",
    "segment": "cant_lose_them",
    "cluster": 2,
    "churn_probability": 0.731,
    "calibrated": True,
    "churn_reasons": [
        {"feature": "recency_days", "value": 40.0, "contribution": 1.25, "text": "Away 40 days"},
        {"feature": "orders", "value": 9.0, "contribution": -0.5, "text": "Ordered 9 times"},
    ],
    "expected_value": 1234.5,
    "currency": "EUR",
    "orders": 9,
    "spend": 987.6,
    "refunds": 0.0,
    "last_activity_at": "2024-03-22T08:00:00Z",
    "models": {"churn": "churn@900", "value": "value@900"},
}
LISTED: dict[str, Any] = {
    "at": "2024-05-01T10:00:01Z",
    "model": "next-item@77",
    "items": [
        {
            "item_id": "[red]mug",
            "score": 0.5,
            "reason": {"source": "trending", "because": [], "text": "Popular now"},
        }
    ],
}


def shown(**changes: Any) -> str:
    customer = {
        "customer_id": "c-1",
        "scores": SCORES,
        "recommendations": LISTED,
        "scores_history": [SCORES],
        "recommendations_history": [],
        **changes,
    }
    out = io.StringIO()
    render(customer, Console(file=out, width=120))
    return out.getvalue()


def test_shows_the_whole_customer() -> None:
    text = shown()
    for part in (
        "c-1",
        "cant lose them (cluster 2)",
        "73.1%",
        "▲ +1.25 Away 40 days",
        "▼ -0.50 Ordered 9 times",
        "1,234.50 EUR",
        "987.60 EUR in 9 orders",
        "2024-05-01 10:00:00 UTC",
        "churn@900, value@900",
        "Popular now",
        "next-item@77",
    ):
        assert part in text


def test_ids_are_never_read_as_markup() -> None:
    assert "[red]mug" in shown()
    assert "[bold]c" in shown(customer_id="[bold]c")


def test_says_what_is_not_known() -> None:
    unknown = SCORES | {
        "churn_probability": None,
        "calibrated": False,
        "churn_reasons": [],
        "expected_value": None,
        "last_activity_at": None,
        "models": {},
    }
    text = shown(scores=unknown, recommendations=None)
    assert "unknown: no outcome seen yet" in text
    assert "no recommendations" in text
    assert "never" in text
    assert "base rate" in shown(scores=SCORES | {"calibrated": False})
    assert "no scores" in shown(scores=None)


def test_json_holds_everything() -> None:
    customer = {"customer_id": "c-1", "scores": SCORES, "recommendations": LISTED}
    assert json.loads(as_json(customer)) == customer
