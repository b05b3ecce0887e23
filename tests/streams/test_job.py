"""The whole job, on the embedded broker and on a real Kafka alike: what goes in, what comes out."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import uuid4

import orjson
import pytest
from pydantic import TypeAdapter

from crm_online.contract.records import RECORDS, DeadLetterHeaders
from crm_online.inprocess import InProcess
from crm_online.internal import PROGRESS_KEY, TICK_KEY, TICK_TYPE
from crm_online.log import Message
from crm_online.models.snapshots import SnapshotReader
from crm_online.settings import Settings
from crm_online.simulation.raw import RawEvent
from streams.embedded import MockBroker, RealKafka, Valkey
from streams.producer import OutputProducer
from tests.damaged import damaged_events
from tests.streams.job import (
    Tail,
    assert_same_outcomes,
    assert_same_states,
    cached,
    in_turn,
    job_settings,
    newest,
    population,
    send,
    undisturbed,
    until,
    working,
)

NOUNS = (
    "events",
    "scores",
    "recommendations",
    "outcomes",
    "interactions",
    "models",
    "metrics",
    "state",
    "dead-letters",
)
OUTPUTS = ("scores", "recommendations", "outcomes", "interactions")
DAMAGED = 1000
FORGED = [
    Message(TICK_KEY, b'{"at":4102444800.0}', [("ce_type", TICK_TYPE)]),
    Message(
        TICK_KEY,
        b'{"at":4102444800.0}',
        [("ce_type", TICK_TYPE), ("ce_signature", b"0" * 64)],
    ),
    Message(b"\0progress", b"{}", []),
]
REPEATED = 25


@dataclass
class Run:
    """All that one run of the job left, and what an undisturbed one without Kafka makes of it."""

    settings: Settings
    good: list[RawEvent]
    damaged: list[bytes]
    records: dict[str, list[Any]]
    scores: dict[str, bytes]
    lists: dict[str, bytes]
    truth: InProcess = field(init=False)
    effects: list[Any] = field(init=False)

    def __post_init__(self) -> None:
        self.truth, self.effects = undisturbed(self.settings, self.records["events"])

    def expected(self, noun: str) -> Iterator[Message]:
        for effects in self.effects:
            yield from effects.outputs.get(noun, ())

    def values(self, noun: str, ce_type: str) -> list[Any]:
        return [
            orjson.loads(record.value)
            for record in self.records[noun]
            if dict(record.headers).get("ce_type") == ce_type.encode()
        ]


@pytest.fixture(scope="module", params=["mock", pytest.param("real", marks=pytest.mark.real)])
def run(request: pytest.FixtureRequest) -> Run:
    """One run with good, repeated, damaged and forged records in one stream."""
    name = "mock_broker" if request.param == "mock" else "real_kafka"
    broker: MockBroker | RealKafka = request.getfixturevalue(name)
    valkey: Valkey = request.getfixturevalue("valkey_server")
    # Small batches, so that lists go out in the middle of sessions. What is damaged stays so.
    return asyncio.run(
        _run(
            job_settings(f"t{uuid4().hex[:12]}", broker, valkey, max_batch=7, strictness="observe")
        )
    )


async def _run(settings: Settings) -> Run:
    good, damaged = population(), damaged_events(DAMAGED)
    async with Tail(settings, *NOUNS) as tail, working(settings):
        await _forge(settings)
        await send(_mixed(good, damaged), settings)
        await tail.until_applied()
        await tail.until_learned()
        await tail.read_all()
        customers = {event.customer for event in good}
        last = {noun: newest(tail.records[noun]) for noun in ("scores", "recommendations")}

        async def caught_up() -> bool:
            found = [await cached(settings, noun, customers) for noun in last]
            return found == list(last.values())

        await until(caught_up)
        scores = await cached(settings, "scores", customers)
        lists = await cached(settings, "recommendations", customers)
    return Run(settings, good, damaged, dict(tail.records), scores, lists)


def _mixed(good: list[RawEvent], damaged: list[bytes]) -> Iterator[RawEvent]:
    """Put damaged events among the good, and repeat some of these at once."""
    for number, event in enumerate(good):
        yield event
        if number < REPEATED:
            yield event
        for bad in damaged[number * DAMAGED // len(good) : (number + 1) * DAMAGED // len(good)]:
            yield RawEvent(event.at, event.customer, bad)


async def _forge(settings: Settings) -> None:
    failed: list[BaseException] = []
    producer = OutputProducer(settings, failed.append)
    await producer.start()
    await producer.deliver(settings.topic("events"), 0, FORGED)
    await producer.stop()
    assert not failed


def _place(value: dict[str, Any]) -> tuple[int, int]:
    return value["source"]["partition"], value["source"]["offset"]


def test_every_good_event_gets_exactly_one_score(run: Run) -> None:
    scored = [s for s in run.values("scores", "crm.score.updated") if s["cause"] == "event"]
    at = {(r.partition, r.offset): r for r in run.records["events"]}
    assert len({_place(score) for score in scored}) == len(scored) == len(run.good)
    for score in scored:
        sent = orjson.loads(at[_place(score)].value)
        customer = sent.get("userId") or sent["anonymousId"]
        assert (score["customer_id"], score["message_id"]) == (customer, sent["messageId"])
        assert datetime.fromisoformat(score["at"]) == datetime.fromisoformat(sent["timestamp"])
    assert Counter(s["message_id"] for s in scored) == Counter(
        orjson.loads(event.value)["messageId"] for event in run.good
    )


def test_every_timer_gets_its_score_and_every_list_its_record(run: Run) -> None:
    for noun in ("scores", "recommendations"):
        expected = [dict(m.headers)["ce_id"] for m in run.expected(noun) if m.value is not None]
        found = [dict(r.headers)["ce_id"] for r in run.records[noun]]
        assert len(set(found)) == len(found)
        if noun == "scores":
            assert set(found) == set(expected)
    listed = {
        value["customer_id"]
        for value in run.values("recommendations", "crm.recommendations.updated")
    }
    assert len(listed) > len({e.customer for e in run.good}) / 2


def test_outputs_are_cloudevents(run: Run) -> None:
    for noun in OUTPUTS:
        names = []
        for record in run.records[noun]:
            headers = dict(record.headers)
            names.append(headers["ce_id"])
            assert len(headers) == len(record.headers) == 6
            assert headers["ce_specversion"] == b"1.0"
            assert headers["ce_source"] == f"{run.settings.app}/score".encode()
            assert headers["content-type"] == b"application/json"
            assert datetime.fromisoformat(headers["ce_time"].decode()).utcoffset() is not None
        assert names
        assert len(set(names)) == len(names)


def test_ce_time_is_event_time(run: Run) -> None:
    for noun in ("scores", "recommendations"):
        for record in run.records[noun]:
            if record.key[:1] != b"\0":
                at = orjson.loads(record.value)["at"]
                said = dict(record.headers)["ce_time"].decode()
                assert datetime.fromisoformat(said) == datetime.fromisoformat(at)


def test_every_value_fits_the_published_contract(run: Run) -> None:
    seen: Counter[str] = Counter()
    for noun in (*OUTPUTS, "metrics"):
        for record in run.records[noun]:
            kind = dict(record.headers)["ce_type"].decode()
            seen[kind] += 1
            if kind != "crm.tick":
                written = orjson.loads(record.value)
                read = TypeAdapter(RECORDS[kind]).validate_json(record.value)
                assert set(written) == set(type(read).model_fields)
    of_actions = {"crm.action.decided", "crm.treatment.settled", "crm.uplift.updated"}
    assert set(seen) == {*RECORDS, "crm.tick"} - of_actions


def test_output_stands_in_the_partition_it_was_read_from(run: Run) -> None:
    for noun in ("scores", "recommendations"):
        for record in run.records[noun]:
            value = orjson.loads(record.value)
            if record.key[:1] != b"\0":
                assert record.partition == value["source"]["partition"]
                assert record.key.decode() == value["customer_id"]
    for noun in ("outcomes", "interactions", "models"):
        assert {record.partition for record in run.records[noun]} == {0}


def test_each_damaged_event_becomes_one_dead_letter_and_nothing_stops(run: Run) -> None:
    letters = [r for r in run.records["dead-letters"] if (r.key or b"")[:1] != b"\0"]
    assert len(letters) == DAMAGED
    assert Counter(r.value for r in letters) == Counter(run.damaged)
    at = {(r.partition, r.offset): r for r in run.records["events"]}
    for letter in letters:
        said = DeadLetterHeaders.model_validate({k: v.decode() for k, v in letter.headers})
        source = at[int(said.partition), int(said.offset)]
        assert said.topic == run.settings.topic("events")
        assert said.exception.startswith("EventRejected:")
        assert said.message
        assert (letter.partition, letter.key, letter.value) == (
            source.partition,
            source.key,
            source.value,
        )
    places = {
        tuple(v for k, v in r.headers if k.endswith(("partition", "offset"))) for r in letters
    }
    assert len(places) == DAMAGED


def test_unsigned_internal_records_are_refused(run: Run) -> None:
    letters = [r for r in run.records["dead-letters"] if (r.key or b"")[:1] == b"\0"]
    assert [(r.key, r.value) for r in letters] == [(m.key, m.value) for m in FORGED]
    reasons = [dict(r.headers)["__streams.errors.exception"] for r in letters]
    assert reasons == [
        b"EventRejected:unsigned-internal-record",
        b"EventRejected:unsigned-internal-record",
        b"EventRejected:reserved-key",
    ]
    last = max(event.at for event in run.good)
    progress = _progress(run.records["state"])
    assert {held["watermark"] for held in progress.values()} == {last}


def test_counts_of_the_log_add_up(run: Run) -> None:
    progress = _progress(run.records["state"]).values()
    assert sum(p["rejected"] for p in progress) == DAMAGED + len(FORGED)
    assert sum(p["events"] for p in progress) == len(run.good) + REPEATED
    assert sum(p["duplicates"] for p in progress) == REPEATED
    assert sum(p["late"] for p in progress) == sum(p["too_late"] for p in progress) == 0


def _progress(records: Iterable[Any]) -> dict[int, Any]:
    return {
        partition: [orjson.loads(r.value) for r in found if r.key == PROGRESS_KEY][-1]
        for partition, found in in_turn(records).items()
    }


def test_states_equal_an_undisturbed_run_field_by_field(run: Run) -> None:
    assert_same_states(run.truth, run.records["state"])


def test_outcomes_equal_an_undisturbed_run(run: Run) -> None:
    expected = (orjson.loads(m.value or b"") for m in run.expected("outcomes"))
    assert_same_outcomes(expected, (orjson.loads(r.value) for r in run.records["outcomes"]))
    assert len(run.values("outcomes", "crm.prediction.settled")) > 50


def test_at_most_one_next_item_outcome_per_touch(run: Run) -> None:
    touches = run.values("outcomes", "crm.next_item.settled")
    assert touches
    assert len({_place(touch) for touch in touches}) == len(touches)


def test_interactions_are_those_of_the_events_each_once(run: Run) -> None:
    expected, found = (
        sorted(
            (batch["partition"], *interaction)
            for batch in batches
            for interaction in batch["interactions"]
        )
        for batches in (
            [orjson.loads(m.value or b"") for m in run.expected("interactions")],
            run.values("interactions", "crm.interactions.observed"),
        )
    )
    assert found == expected
    assert len(found) > 500


def test_models_on_the_topic_are_signed_whole_and_those_that_scores_name(run: Run) -> None:
    reader = SnapshotReader(run.settings.signing_key.get_secret_value().encode())
    versions = {s.version for r in run.records["models"] for s in reader.apply([r])}
    assert {v.partition("@")[0] for v in versions} == {
        "churn",
        "value",
        "segments",
        "clusters",
        "quality",
        "monitor",
        "next_item",
        "next_item_ranker",
    }
    scores = run.values("scores", "crm.score.updated")
    named = {v for score in scores for v in score["models"].values()}
    assert named
    oldest: dict[str, int] = {}  # the embedded broker drops what exceeds five megabytes
    for name, _, number in (version.partition("@") for version in versions):
        oldest[name] = min(oldest.get(name, int(number)), int(number))
    held = {v for v in named if int(v.partition("@")[2]) >= oldest[v.partition("@")[0]]}
    assert held <= versions
    assert "churn" not in scores[0]["models"]
    assert any(score["calibrated"] for score in scores)


def test_a_prediction_settles_with_the_numbers_it_opened_with(run: Run) -> None:
    opened = {o["prediction_id"]: o for o in run.values("outcomes", "crm.prediction.opened")}
    for settled in run.values("outcomes", "crm.prediction.settled"):
        mate = opened[settled["prediction_id"]]
        for name in ("churn_probability", "expected_value", "models", "features"):
            assert settled[name] == mate[name]


def test_the_cache_holds_the_last_record_of_every_customer(run: Run) -> None:
    assert run.scores.keys() == {event.customer for event in run.good}
    assert run.scores == newest(run.records["scores"])
    assert run.lists == newest(run.records["recommendations"])
