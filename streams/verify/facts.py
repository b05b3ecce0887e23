"""What of a record is a function of the log, as bytes that can be compared.

All but which model was newest when an event was scored, and which lists went out.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import msgspec

from crm_online.customers.state import CustomerState, Prediction
from crm_online.scores import Interaction, Source

__all__ = [
    "differing",
    "interaction_facts",
    "outcome_facts",
    "rescored_from",
    "score_facts",
    "state_facts",
    "totals",
]

OF_LISTS: Final = ("offered", "offered_session", "offered_model", "offered_as_of")
TOTALS: Final = ("customer_id", "currency", "orders", "spend", "refunds", "last_activity_at")
PREDICTED_BYTES: Final = 8  # churn probability and expected value, float32, behind the features


class _Score(msgspec.Struct, gc=False):
    score_id: str
    customer_id: str
    message_id: str | None
    at: datetime
    cause: str
    source: Source
    currency: str
    orders: int
    spend: float
    refunds: float
    last_activity_at: datetime | None


class _Opened(msgspec.Struct, gc=False, tag_field="kind", tag="opened"):
    prediction_id: str
    customer_id: str
    opened_at: datetime
    due_at: datetime
    source: Source
    features: dict[str, float]
    rfm: tuple[float, float, float]


class _Settled(msgspec.Struct, gc=False, tag_field="kind", tag="settled"):
    prediction_id: str
    customer_id: str
    opened_at: datetime
    due_at: datetime
    source: Source
    features: dict[str, float]
    churned: bool
    spend: float
    late: bool


class _Touched(msgspec.Struct, gc=False, tag_field="kind", tag="next_item"):
    customer_id: str
    source: Source
    session: int
    item_id: str


_score: Final = msgspec.json.Decoder(_Score).decode
_outcome: Final = msgspec.json.Decoder(_Opened | _Settled | _Touched).decode
_pack: Final = msgspec.msgpack.Encoder().encode
_unpack: Final = msgspec.msgpack.Decoder().decode


def score_facts(value: bytes) -> tuple[bytes, str]:
    """Return the facts of a score, and what caused it: event, timer or rescoring."""
    read = _score(value)
    return _pack(read), read.cause


def rescored_from(value: bytes) -> tuple[str, Source]:
    """Return whose score a rescoring repeats, and where in the log that stands."""
    read = _score(value)
    return read.customer_id, msgspec.structs.replace(read.source, index=0)


def totals(facts: bytes) -> dict[str, Any]:
    """Return what a rescoring must have in common with the score that it repeats."""
    fields = _unpack(facts)
    return {name: fields[name] for name in TOTALS}


def outcome_facts(value: bytes) -> tuple[str, bytes]:
    """Return the kind of an outcome, and its facts.

    Of a next-item outcome these are the touch: rank and list depend on which lists went out.
    """
    read = _outcome(value)
    return str(read.__struct_config__.tag), _pack(read)


def interaction_facts(interaction: Interaction) -> bytes:
    """Return an interaction, field by field."""
    return _pack(msgspec.structs.asdict(interaction))


def state_facts(state: CustomerState) -> bytes:
    """Return a customer, field by field."""
    fields = msgspec.structs.asdict(state)
    for name in OF_LISTS:
        del fields[name]
    fields["predictions"] = [_prediction_facts(each) for each in state.predictions]
    return _pack(fields)


def _prediction_facts(prediction: Prediction) -> dict[str, Any]:
    fields = msgspec.structs.asdict(prediction)
    for name in ("churn_offset", "value_offset", "churn_by", "value_by"):
        del fields[name]
    return fields | {"numbers": prediction.numbers[:-PREDICTED_BYTES]}


def differing(expected: bytes, found: bytes) -> str:
    """Name the fields in which two facts differ, with both values.

    Examples
    --------
    >>> differing(_pack({"orders": 1, "at": 5}), _pack({"orders": 2, "at": 5}))
    'orders 2 for 1'
    """
    wanted, seen = _unpack(expected), _unpack(found)
    names = [name for name in wanted.keys() | seen.keys() if wanted.get(name) != seen.get(name)]
    return ", ".join(
        f"{name} {_short(seen.get(name))} for {_short(wanted.get(name))}" for name in sorted(names)
    )


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."  # noqa: PLR2004 - half a line
