"""Hypothesis strategies: Segment events as dictionaries, good and doubtful, and records out."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, get_args, get_origin

import msgspec
from hypothesis import strategies as st

from crm_online.kinds import TRACK_KIND
from tests.builders import iso

__all__ = ["doubtful_events", "good_events", "ids", "records", "to_bytes"]

_PRINTABLE = st.characters(categories=("L", "M", "N", "P", "S", "Z"))
ids = st.text(_PRINTABLE, min_size=1, max_size=100)
_numeric_ids = st.integers(-(10**20), 10**20)
_times = st.floats(946_800_000, 2_840_000_000).map(iso)
_amounts = st.decimals(-(10**6), 10**6, places=2).map(float) | st.decimals(0, 10**6, places=2).map(
    str
)
_names = st.sampled_from(sorted(TRACK_KIND)) | st.text(_PRINTABLE, min_size=1, max_size=20)
_anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
).filter(lambda v: json.dumps(v).isascii())
_objects = st.dictionaries(st.text(max_size=5), _anything, max_size=3)
_doubtful_numbers = (
    st.sampled_from(["NaN", "Infinity", "", "abc", "1e400", 1e12, 1.1e12, 10**6, 10**6 + 1, -1e13])
    | _anything
)
_doubtful_times = st.sampled_from(
    [
        *("1999-12-31T23:59:59Z", "2000-01-01T00:00:00Z", "2024-05-01T10:00:00", "2024-05-01"),
        *("2024-05-01 10:00:00Z", "2024-05-01T10:00:00+0200", "2024-05-01T10:00Z", "", "now"),
        *("2024-05-01T10:00:00.123456789Z", "2024-05-01T10:00:00-05:30", "1714557600", 1714557600),
        None,
    ]
)
_doubtful_ids = st.sampled_from(
    ["", "x" * 100, "x" * 101, "a\nb", "a\x9fb", 0, -5, 1.0, True, None]
)


def _mostly(good: st.SearchStrategy[Any], doubtful: st.SearchStrategy[Any], *, doubt: bool) -> Any:
    return st.one_of(good, good, good, doubtful) if doubt else good


def _line(*, doubt: bool) -> dict[str, st.SearchStrategy[Any]]:
    number = _mostly(_amounts, _doubtful_numbers, doubt=doubt)
    return {
        "product_id": _mostly(ids | _numeric_ids, _doubtful_ids, doubt=doubt),
        "sku": _mostly(ids, _doubtful_ids, doubt=doubt),
        "category": _mostly(st.text(_PRINTABLE), _anything, doubt=doubt),
        "quantity": _mostly(st.integers(1, 99), _doubtful_numbers, doubt=doubt),
        "price": number,
    }


def _properties(*, doubt: bool) -> st.SearchStrategy[Any]:
    number = _mostly(_amounts, _doubtful_numbers, doubt=doubt)
    products = st.lists(st.fixed_dictionaries({}, optional=_line(doubt=doubt)), max_size=4)
    fields = {
        **_line(doubt=doubt),
        "order_id": _mostly(ids | _numeric_ids, _doubtful_ids, doubt=doubt),
        "total": number,
        "revenue": number,
        "currency": _mostly(st.sampled_from(["EUR", "gbp", ""]), _anything, doubt=doubt),
        "products": _mostly(products, _anything, doubt=doubt),
        "extra": _anything,
    }
    return st.none() | st.fixed_dictionaries({}, optional=fields)


def _events(*, doubt: bool) -> st.SearchStrategy[dict[str, Any]]:
    one_id = _mostly(ids | _numeric_ids, _doubtful_ids, doubt=doubt)
    when = _mostly(_times, _doubtful_times, doubt=doubt)
    an_object = _mostly(_objects | st.none(), _anything, doubt=doubt)
    optional = {
        "anonymousId": one_id,
        "messageId": one_id,
        **dict.fromkeys(("timestamp", "originalTimestamp", "sentAt", "receivedAt"), when),
        **dict.fromkeys(("context", "integrations"), an_object),
        "extra": _anything,
    }

    def of(name: str, needed: dict[str, Any], more: dict[str, Any]) -> Any:
        needed = {"type": st.just(name), "userId": one_id, **needed}
        return st.fixed_dictionaries(needed, optional=optional | more)

    named = _mostly(_names, _anything, doubt=doubt)
    return st.one_of(
        of("track", {"event": named}, {"properties": _properties(doubt=doubt)}),
        of("page", {}, {"properties": an_object}),
        of("screen", {}, {"properties": an_object}),
        of("identify", {}, {"traits": an_object}),
        of("group", {}, {"traits": an_object, "groupId": one_id}),
        of("alias", {}, {"previousId": one_id}),
    )


good_events = _events(doubt=False)
doubtful_events = _events(doubt=True)


def to_bytes(body: object) -> bytes:
    """Write JSON as senders do; a lone surrogate becomes an escape."""
    return json.dumps(body).encode()


def records(struct: type[msgspec.Struct]) -> st.SearchStrategy[Any]:
    """Any instance of one of the Structs that go out."""
    fields = {f.name: _of_type(f.type) for f in msgspec.structs.fields(struct)}
    return st.builds(struct, **fields)


def _of_type(hint: Any) -> st.SearchStrategy[Any]:
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return records(hint)
    if get_origin(hint) is list:
        (inner,) = get_args(hint)
        return st.lists(_of_type(inner), max_size=3)
    return st.from_type(hint)


st.register_type_strategy(float, st.floats(allow_nan=False, allow_infinity=False))
st.register_type_strategy(str, st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
st.register_type_strategy(int, st.integers(-(2**63), 2**63 - 1))
st.register_type_strategy(datetime, st.datetimes(timezones=st.just(UTC)))
