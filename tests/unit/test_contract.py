"""The published contract and the hot path accept, refuse and say the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from crm_online import metrics, scores
from crm_online.actions import records as actions
from crm_online.contract.events import SEGMENT_EVENT
from crm_online.contract.records import RECORDS, DeadLetterHeaders
from crm_online.contract.schemas import schemas, write_schemas
from crm_online.dead_letters import dead_letter
from crm_online.errors import EventRejected
from crm_online.events import parse_event
from crm_online.log import LogRecord
from tests import builders
from tests.damaged import catalogue
from tests.strategies import doubtful_events, good_events, records, to_bytes

SCHEMAS = Path(__file__).parents[2] / "schemas"
CENTURY_LATER = builders.START + 100 * 366 * 86_400.0
STRUCTS: dict[str, type[msgspec.Struct]] = {
    "crm.score.updated": scores.ScoreUpdate,
    "crm.recommendations.updated": scores.Recommendations,
    "crm.prediction.opened": scores.Opened,
    "crm.prediction.settled": scores.Settled,
    "crm.next_item.settled": scores.NextItemOutcome,
    "crm.interactions.observed": scores.InteractionBatch,
    "crm.quality.updated": metrics.QualityUpdate,
    "crm.drift.updated": metrics.DriftUpdate,
    "crm.contest.updated": metrics.ContestUpdate,
    "crm.uplift.updated": metrics.UpliftUpdate,
    "crm.action.decided": actions.Action,
    "crm.treatment.settled": scores.TreatmentSettled,
}
# What only the hot path knows: sizes, depth, and the Kafka timestamp.
UNPUBLISHED = {"too-large", "too-deep", "time-in-future"}


def refusal(raw: bytes) -> str | None:
    try:
        parse_event(raw, CENTURY_LATER, 32 * 1024, 300.0)
    except EventRejected as error:
        return error.reason
    return None


def published_refuses(raw: bytes) -> bool:
    try:
        SEGMENT_EVENT.validate_json(raw)
    except ValidationError:
        return True
    return False


@given(doubtful_events)
@settings(max_examples=400)
@example({"type": "track", "event": "Order Completed", "userId": 1, "properties": {"total": True}})
@example({"type": "track", "event": ["Order Completed"], "userId": 1})
@example({"type": "page", "userId": "", "anonymousId": ""})
@example({"type": "page", "userId": 10**100})
def test_both_accept_and_refuse_the_same_events(body: dict[str, Any]) -> None:
    raw = to_bytes(body)
    assert (refusal(raw) is not None) == published_refuses(raw)


@given(good_events)
def test_both_accept_good_events(body: dict[str, Any]) -> None:
    raw = to_bytes(body)
    assert refusal(raw) is None
    assert not published_refuses(raw)


def test_both_refuse_damaged_events() -> None:
    for _, _, raw in catalogue():
        assert refusal(raw) in UNPUBLISHED or published_refuses(raw), raw[:200]


def test_validation_messages_do_not_quote_the_event() -> None:
    raw = builders.track("Order Completed", "s3cret\n", properties={"total": "s3cret"})
    with pytest.raises(ValidationError) as caught:
        SEGMENT_EVENT.validate_json(raw)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("name", sorted(STRUCTS))
@given(data=st.data())
def test_records_out_fit_their_published_form(name: str, data: st.DataObject) -> None:
    struct, model = STRUCTS[name], RECORDS[name]
    record = data.draw(records(struct))
    raw = msgspec.json.encode(record)
    read = model.model_validate_json(raw)
    assert msgspec.json.decode(read.model_dump_json(), type=struct) == record
    assert msgspec.json.decode(raw).keys() == model.model_fields.keys()


@pytest.mark.parametrize("name", sorted(STRUCTS))
@given(data=st.data())
def test_damaged_records_out_are_refused_by_both(name: str, data: st.DataObject) -> None:
    struct, model = STRUCTS[name], RECORDS[name]
    body = msgspec.json.decode(msgspec.json.encode(data.draw(records(struct))))
    field = data.draw(st.sampled_from(sorted(body)))
    body[field] = data.draw(
        st.sampled_from([None, True, 5, 1.5, "x", [], {}, [5], {"a": 1}, {"a": "b"}])
    )
    raw = msgspec.json.encode(body)
    try:
        msgspec.json.decode(raw, type=struct)
    except msgspec.ValidationError:
        with pytest.raises(ValidationError):
            model.model_validate_json(raw)
    else:
        model.model_validate_json(raw)


def test_dead_letters_have_the_published_headers() -> None:
    record = LogRecord(7, 0, b"k", b"x" * 600_000)
    letter = dead_letter(record, EventRejected("too-large", "too large"), "crm.events", 3)
    headers = DeadLetterHeaders.model_validate({k: v.decode() for k, v in letter.headers})
    assert (headers.offset, headers.partition, headers.truncated) == ("7", "3", "600000")
    aliases = {field.alias for field in DeadLetterHeaders.model_fields.values()}
    assert {name for name, _ in letter.headers} == aliases


def test_the_schemas_in_the_repository_are_current(tmp_path: Path) -> None:
    written = {path.name: path.read_text(encoding="utf-8") for path in write_schemas(tmp_path)}
    kept = {path.name: path.read_text(encoding="utf-8") for path in SCHEMAS.glob("*.json")}
    assert written == kept, "run: python -m crm_online.contract.schemas"


@pytest.mark.parametrize("name", sorted(RECORDS))
def test_every_field_that_is_always_written_is_promised(name: str) -> None:
    schema = schemas()[f"{name}.json"]
    assert set(schema["required"]) == set(schema["properties"])
    assert json.loads(json.dumps(schema)) == schema
