"""What events say of a customer: time zone, consent and traits, however they are written."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from crm_online.events import parse_event
from crm_online.inprocess import InProcess
from crm_online.log import LogRecord
from crm_online.scores import ScoreUpdate
from crm_online.settings import Settings
from tests import builders
from tests.builders import START


def parsed(context: Any, **more: Any) -> Any:
    raw = builders.page("ann", at=START, context=context, **more)
    return parse_event(raw, START, 32_768, 300.0)


@pytest.mark.parametrize(
    ("consent", "granted"),
    [
        ({"categoryPreferences": {"marketing": True, "ads": False}}, ("marketing",)),
        ({"categoryPreferences": {"b": True, "a": True}}, ("a", "b")),
        ({"categoryPreferences": {}}, ()),
        ({"categoryPreferences": {"marketing": "yes"}}, ()),
        ({"categoryPreferences": None}, ()),
        ({"categoryPreferences": ["marketing"]}, ()),
        ("nonsense", ()),
        ({}, None),
        (None, None),
    ],
)
def test_consent_is_what_is_granted_and_what_cannot_be_read_denies(
    consent: Any, granted: tuple[str, ...] | None
) -> None:
    assert parsed({"consent": consent}).consent == granted
    compact = json.dumps({"type": "page", "userId": "a", "context": {"consent": consent}})
    for text in (compact, compact.replace(": ", ":"), compact.replace(": ", " :\n ")):
        assert parse_event(text.encode(), START, 32_768, 300.0).consent == granted


def test_consent_that_is_not_spoken_of_is_not_there() -> None:
    assert parsed({}).consent is None
    assert parse_event(builders.page("ann"), START, 32_768, 300.0).consent is None


@pytest.mark.parametrize(
    ("zone", "name"),
    [("Europe/Berlin", "Europe/Berlin"), (7, ""), ("x" * 101, ""), ("a\nb", ""), (None, "")],
)
def test_a_time_zone_is_a_name(zone: Any, name: str) -> None:
    assert parsed({"timezone": zone}).timezone == name


def test_consent_that_is_withdrawn_counts_though_its_event_comes_late() -> None:
    given: dict[str, Any] = {"consent": {"categoryPreferences": {"ads": True}}}
    denied: dict[str, Any] = {"consent": {"categoryPreferences": {}}}
    values = [
        builders.page(at=START, context=given),
        builders.page(at=START + 9),
        builders.page(at=START + 5, context=denied),  # behind an event that did not speak of it
        builders.page(at=START + 4, context=given),  # behind the denial
    ]
    log = [LogRecord(n, int(START * 1000), b"ann", value) for n, value in enumerate(values)]
    [effects] = InProcess(Settings()).process(0, log)
    scores = [msgspec.json.decode(m.value or b"") for m in effects.outputs["scores"]]
    assert [score["consent"] for score in scores] == [["ads"], ["ads"], [], []]


def test_scores_carry_the_newest_of_each_and_only_traits_that_are_asked_for() -> None:
    berlin, tokyo = {"timezone": "Europe/Berlin"}, {"timezone": "Asia/Tokyo"}
    denied: dict[str, Any] = {"consent": {"categoryPreferences": {}}}
    traits = {"plan": "gold", "age": 40, "city": "x"}
    values = [
        builders.identify(at=START, traits=traits, context=berlin),
        builders.identify(at=START + 2, traits={"age": None, "vip": True}, context=denied),
        builders.page(at=START + 1, context=tokyo),  # late: it says nothing that is newer
        builders.product_viewed("p-1", at=START + 3),
        builders.track("Unsubscribed", at=START + 2),
    ]
    log = [LogRecord(n, int(START * 1000), b"ann", value) for n, value in enumerate(values)]
    both = InProcess(Settings(kept_traits=("plan", "age", "vip")))
    scores = [
        msgspec.json.decode(message.value or b"", type=ScoreUpdate)
        for effects in both.process(0, log)
        for message in effects.outputs["scores"]
    ]
    assert [s.timezone for s in scores] == ["Europe/Berlin"] * 5
    assert [s.unsubscribed for s in scores] == [False] * 4 + [True]
    assert [s.consent for s in scores] == [None, [], [], [], []]
    assert scores[0].traits == {"plan": "gold", "age": 40.0}
    assert scores[3].traits == {"plan": "gold", "vip": True}
    assert [(s.event, s.items) for s in scores[2:4]] == [
        ("page", []),
        ("Product Viewed", ["p-1"]),
    ]
    assert {s.first_seen_at for s in scores} == {scores[0].at}
