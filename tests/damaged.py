"""A catalogue of damaged events: every value in it must be rejected, whatever the clock says."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from copy import deepcopy
from itertools import chain, zip_longest
from typing import Any

from tests.builders import iso, product

__all__ = ["catalogue", "damaged_events"]

_MAX_BYTES = 32 * 1024
_TYPES = ("track", "page", "screen", "identify", "group", "alias")
_TIMES = ("timestamp", "originalTimestamp", "sentAt", "receivedAt")
_RAW = "@raw@"

Path = tuple[str | int, ...]


class _Raw(str):
    """JSON text that `json.dumps` would not write, such as ``1e400``."""

    __slots__ = ()


_NOT_IDS: list[Any] = [True, False, 1.5, -0.5, _Raw("1e400"), [], {}, ["x"], {"id": 1}]
_NOT_OBJECTS: list[Any] = [True, False, 5, 1.5, "x", "", [], [{}]]
_NOT_TEXT: list[Any] = [True, False, 5, 1.5, [], {}, ["x"]]
_NOT_TIMES: list[Any] = [
    *(True, 5, 1.7e9, 1700000000123, [], {}, "", " ", "yesterday", "1700000000"),
    *("2024-05-01", "2024-05-01T10:00:00", "2024-05-01 10:00", "01/05/2024 10:00:00"),
    *("2024-13-01T00:00:00Z", "2024-02-30T00:00:00Z", "2024-05-01T25:00:00Z"),
    *("2024-05-01T00:00:61Z", "24-05-01T00:00:00Z", "2024-05-01T00:00:00+99:00"),
    *("1969-07-20T20:17:40Z", "1999-12-31T23:59:59Z", "0001-01-01T00:00:00Z"),
    "9999-12-31T23:59:59Z",
]
_NOT_NUMBERS: list[Any] = [
    *(True, False, [], {}, [1], "", "abc", "12,50", "5 EUR", "0x10", "1e", "--1", "1 000"),
    *("NaN", "-nan", "sNaN", "Infinity", "-Infinity", "1e400", "-1e13", 1e13, -1e13, 10**30),
    *(10**400, _Raw("1e400"), _Raw("-1e400"), _Raw("1e99999999999999999999")),
]
_NOT_JSON = [
    *(b" ", b"\n", b"nul", b"null,", b"{", b"}", b"[", b"]", b"{}{}", b"{]", b"[}", b'"', b"{,}"),
    *(b"{'a':1}", b"{a:1}", b"<event/>", b"type=track", b"\x00", b"\x00\x00\x00\x00\x05", b"---"),
    *(b"NaN", b"Infinity", b"undefined", b"True", b"None", b"01", b"1.", b".5", b"+1", b"1e", b"-"),
]
_NOT_EVENTS = [b"null", b"true", b"false", b"0", b"1.5", b'"track"', b"[]", b"[{}]", b"{}"]
_NOT_UTF8 = [
    *(b"\x80", b"\xbf", b"\xc0\x80", b"\xc1\xbf", b"\xc3", b"\xc3(", b"\xe2\x82", b"\xe2(\xa1"),
    *(b"\xe0\x80\xaf", b"\xed\xa0\x80", b"\xed\xbf\xbf", b"\xf0\x9f\x98", b"\xf0\x80\x80\xaf"),
    *(b"\xf4\x90\x80\x80", b"\xf5\x80\x80\x80", b"\xfe", b"\xff", b"G\xe4rten", b"\xa4 5"),
]
_NOT_PAIRS = [
    "\\ud800",
    "\\udfff",
    "\\udc00\\ud800",
    "\\ud83d!",
    "\\ud83d\\u0041",
    "\\ud83d\\ud83d",
]


def damaged_events(n: int = 1000, seed: int = 7) -> list[bytes]:
    """Take `n` different damaged events, every kind of damage before any kind twice as often.

    Parameters
    ----------
    n
        How many; at most as many as there are in the `catalogue`.
    seed
        Decides which, and their order.

    Returns
    -------
    list of bytes
        No two alike.
    """
    draw = random.Random(seed)
    kinds: dict[str, list[bytes]] = {}
    for kind, _, raw in catalogue():
        kinds.setdefault(kind, []).append(raw)
    for values in kinds.values():
        draw.shuffle(values)
    in_turn = chain.from_iterable(zip_longest(*kinds.values()))
    chosen = list(dict.fromkeys(raw for raw in in_turn if raw is not None))[:n]
    if len(chosen) < n:
        raise ValueError(f"the catalogue holds {len(chosen)} damaged events")
    draw.shuffle(chosen)
    return chosen


def catalogue() -> Iterator[tuple[str, frozenset[str], bytes]]:
    """List all damaged events: kind of damage, the reasons it may be rejected for, the value."""
    yield "empty", frozenset({"empty"}), b""
    yield from _broken_bytes()
    yield from _broken_ids()
    yield from _broken_fields()
    yield from _broken_sizes()


def _broken_bytes() -> Iterator[tuple[str, frozenset[str], bytes]]:
    malformed = frozenset({"malformed-json"})
    whole = _dump(_order())
    for raw in [*_NOT_JSON, whole + b",", whole + whole, b"\xef\xbb\xbf" + whole[:-1]]:
        yield "not JSON", malformed | {"wrong-type"}, raw
    for raw in _NOT_EVENTS:
        yield "not an object", frozenset({"wrong-type"}), raw
    for end in range(1, len(whole)):
        yield "truncated", malformed, whole[:end]
    for bad in _NOT_UTF8:
        for place in ("ann", "garden", "Order Completed", "extra"):
            raw = whole.replace(place.encode(), b"x" + bad + b"x", 1)
            yield "not UTF-8", frozenset({"not-utf8"}), raw
    for pair in _NOT_PAIRS:
        for place in ("ann", "garden", "extra"):
            yield "lone surrogate", malformed, whole.replace(place.encode(), pair.encode(), 1)
    for code in range(32):
        raw = whole.replace(b"garden", b"gar" + bytes([code]) + b"den", 1)
        yield "raw control character", malformed, raw


def _broken_ids() -> Iterator[tuple[str, frozenset[str], bytes]]:
    paths: list[Path] = [("userId",), ("anonymousId",), ("messageId",)]
    paths += [("properties", "order_id"), ("properties", "products", 1, "product_id")]
    for path in paths:
        for code in [*range(32), *range(0x7F, 0xA0)]:
            reasons = frozenset({"control-characters"})
            yield "control character", reasons, _with(_order(), path, f"a{chr(code)}b")
        for long in ("x" * 101, "ä" * 101, "1" * 5000, 10**100, -(10**100)):
            reasons = frozenset({"id-too-long", "number-out-of-range"})
            yield "long id", reasons, _with(_order(), path, long)
    for type_ in _TYPES:
        for user in (None, ""):
            for anonymous in (None, ""):
                body = _event(type_) | {"userId": user, "anonymousId": anonymous}
                yield "no id", frozenset({"missing-id"}), _dump(body)
        body = _event(type_)
        del body["userId"]
        yield "no id", frozenset({"missing-id"}), _dump(body)
    for name in (None, ""):
        yield "no event", frozenset({"missing-event"}), _with(_order(), ("event",), name)


def _broken_fields() -> Iterator[tuple[str, frozenset[str], bytes]]:
    wrong = frozenset({"wrong-type", "number-out-of-range"})
    for type_ in _TYPES:
        for path, values in _fields(type_):
            for value in values:
                yield f"wrong {path[-1]}", wrong, _with(_event(type_), path, value)
        for name in _TIMES:
            for value in _NOT_TIMES:
                reasons = frozenset({"wrong-type", "time-before-2000", "time-in-future"})
                body = {k: v for k, v in _event(type_).items() if k not in _TIMES}
                yield f"wrong {name}", reasons, _with(body, (name,), value)
    for value in ["Track", "TRACK", " track", "batch", "", "event", None, *_NOT_TEXT]:
        yield "wrong type", wrong, _with(_event("track"), ("type",), value)
    for field in ("product_id", "sku"):
        for value in _NOT_IDS:
            raw = _with(_order(), ("properties", "products", 1, field), value)
            yield f"wrong {field} of a product", wrong, raw


def _fields(type_: str) -> Iterator[tuple[Path, list[Any]]]:
    for name in ("userId", "anonymousId", "messageId"):
        yield (name,), _NOT_IDS
    for name in ("context", "integrations"):
        yield (name,), _NOT_OBJECTS
    if type_ in {"identify", "group"}:
        yield ("traits",), _NOT_OBJECTS
    if type_ in {"track", "page", "screen"}:
        yield ("properties",), _NOT_OBJECTS
    if type_ in {"alias", "group"}:
        yield (("previousId",) if type_ == "alias" else ("groupId",)), _NOT_IDS
    if type_ == "track":
        yield ("event",), _NOT_TEXT
        yield ("properties", "order_id"), _NOT_IDS
        yield ("properties", "products"), [True, 5, "x", {}, [None], [5], ["x"], [[]], [{}, 1]]
        for place in (("properties",), ("properties", "products", 0)):
            for name in ("price", "quantity"):
                yield (*place, name), _NOT_NUMBERS
            yield (*place, "category"), _NOT_TEXT
        for name in ("total", "revenue"):
            yield ("properties", name), _NOT_NUMBERS
        yield ("properties", "currency"), _NOT_TEXT


def _broken_sizes() -> Iterator[tuple[str, frozenset[str], bytes]]:
    deep = frozenset({"too-deep"})
    for depth in (32, 33, 50, 100, 500, 990, 1000, 1500, 5000, 10_000):
        for opening, closing in (("[", "]"), ('{"a":', "}"), ('[{"a":', "}]")):
            times = min(depth, 2500)
            nested = _Raw(opening * times + "1" + closing * times)
            for name in ("context", "extra", "properties"):
                place = {"extra": nested} if name == "extra" else {name: {"a": nested}}
                yield "deep", deep, _dump(_order() | place)
    for more in (1, 2, 10, 100, 1000, 10_000, 100_000):
        padding = "x" * (_MAX_BYTES + more)
        for name in ("extra", "messageId", "event"):
            yield "large", frozenset({"too-large"}), _dump(_order() | {name: padding})
    products = [product(f"p{i}") for i in range(1000)]
    raw = _with(_order(), ("properties", "products"), products)
    yield "large", frozenset({"too-large"}), raw


def _event(type_: str) -> dict[str, Any]:
    if type_ == "track":
        return _order()
    return {"type": type_, "userId": "ann", "messageId": "m1", "timestamp": iso(1.7e9)}


def _order() -> dict[str, Any]:
    products = [product("spade", 12.5, 2), product("seeds", "1.20")]
    properties = {"order_id": "o1", "currency": "EUR", "products": products, "note": "extra"}
    return {
        "type": "track",
        "event": "Order Completed",
        "userId": "ann",
        "messageId": "m1",
        "timestamp": iso(1.7e9),
        "properties": properties,
    }


def _with(body: dict[str, Any], path: Path, value: object) -> bytes:
    body = deepcopy(body)
    place: Any = body
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return _dump(body)


def _dump(body: dict[str, Any]) -> bytes:
    found: list[str] = []

    def mark(value: object) -> object:
        if isinstance(value, _Raw):
            found.append(value)
            return _RAW
        if isinstance(value, dict):
            return {k: mark(v) for k, v in value.items()}
        return [mark(v) for v in value] if isinstance(value, list) else value

    text = json.dumps(mark(body))
    for raw in found:
        text = text.replace(f'"{_RAW}"', raw, 1)
    return text.encode()
