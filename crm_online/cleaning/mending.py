"""Makes a clean event of a dirty one, and says by which rules; what is clean stays to the byte."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Annotated, Final, Literal, NamedTuple

import msgspec

from crm_online.cleaning import rules
from crm_online.cleaning.texts import is_nothing, number_in, spelled, time_in
from crm_online.items import AMOUNTS
from crm_online.kinds import ORDER, TRACK_KIND, TYPES

__all__ = ["ItemCase", "Mended", "mend"]

ItemCase = Literal["keep", "lower", "upper"]
Raw = msgspec.Raw
Fields = dict[str, Raw]
Repair = Callable[[Raw], "Change | None"]

NULL: Final = Raw(b"null")
NO_LINES: Final = Raw(b"[]")
EMPTY: Final = Raw(b"{}")

_fields: Final = msgspec.json.Decoder(dict[str, Raw]).decode
_list: Final = msgspec.json.Decoder(list[Raw]).decode
_any: Final = msgspec.json.Decoder().decode
_moment: Final = msgspec.json.Decoder(Annotated[datetime, msgspec.Meta(tz=True)]).decode
_encode: Final = msgspec.json.encode

IDS: Final = ("userId", "anonymousId", "messageId", "previousId", "groupId")
TIMES: Final = ("timestamp", "originalTimestamp", "sentAt", "receivedAt")
OBJECTS: Final = ("context", "integrations", "traits", "properties")
NOT_BOUGHT: Final = {
    "price": rules.PRICE_NOT_POSITIVE,
    "quantity": rules.QUANTITY_NOT_POSITIVE,
}


class Mended(NamedTuple):
    """A cleaned event, and the rules that it took, each once."""

    value: bytes
    rules: tuple[str, ...]


class Change(NamedTuple):
    """What a value becomes, and by which rule."""

    to: Raw
    rule: str


def mend(raw: bytes, *, ids: bool = True, item_case: ItemCase = "keep") -> Mended:
    """Repair what has one meaning; what has none, or several, stays and will be refused.

    Parameters
    ----------
    raw
        JSON of one event.
    ids
        Whether to repair what says whose it is.
    item_case
        How ids of products are written.

    Examples
    --------
    >>> raw = b'{"type": "Track", "event": "order_completed", "properties": {"total": "9,50"}}'
    >>> mended = mend(raw)
    >>> mended.value
    b'{"type":"track","event":"Order Completed","properties":{"total":9.50}}'
    >>> mended.rules
    ('type-spelling', 'event-spelling', 'number-text')
    """
    try:
        fields = _fields(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return Mended(raw, ())
    mender = _Mender(item_case)
    mender.mend(fields, ids=ids)
    if not mender.rules:
        return Mended(raw, ())
    return Mended(_encode(fields), tuple(dict.fromkeys(mender.rules)))


class _Mender:
    """Repairs one event, and notes each repair."""

    def __init__(self, item_case: ItemCase) -> None:
        self.rules: list[str] = []
        self._cased = partial(_cased, item_case)

    def mend(self, fields: Fields, *, ids: bool) -> None:
        """Repair what all events have, then what is said of products."""
        for name in IDS if ids else ("messageId",):
            self._repair(fields, name, _id)
        for name in TIMES:
            self._repair(fields, name, _time)
        for name in OBJECTS:
            self._repair(fields, name, _object)
        self._repair(fields, "type", _type)
        if _value(fields.get("type", NULL)) == "track":
            self._repair(fields, "event", _event)
            kind = TRACK_KIND.get(str(_value(fields.get("event", NULL))))
            if kind is not None:
                self._mend_properties(fields, kind)

    def _repair(self, fields: Fields, name: str, repair: Repair) -> None:
        raw = fields.get(name)
        change = None if raw is None or bytes(raw) == b"null" else repair(raw)
        if change is not None:
            fields[name] = change.to
            self.rules.append(change.rule)

    def _mend_properties(self, fields: Fields, kind: int) -> None:
        try:
            properties = _fields(fields.get("properties", NULL))
            lines = [_fields(line) for line in _list(properties.get("products", NO_LINES))]
        except msgspec.MsgspecError:
            return
        before = len(self.rules)
        for line in (properties, *lines):
            self._mend_line(line)
        for name in AMOUNTS:
            self._repair(properties, name, _number)
        self._repair(properties, "order_id", _id)
        self._repair(properties, "currency", _text)
        if kind == ORDER:
            lines = [line for line in lines if self._is_bought(line)]
        if len(self.rules) > before:
            if "products" in properties:
                properties["products"] = Raw(_encode(lines))
            fields["properties"] = Raw(_encode(properties))

    def _mend_line(self, line: Fields) -> None:
        for name in ("product_id", "sku"):
            self._repair(line, name, _id)
            self._repair(line, name, self._cased)
        for name in ("price", "quantity"):
            self._repair(line, name, _number)
        self._repair(line, "category", _text)

    def _is_bought(self, line: Fields) -> bool:
        for name, rule in NOT_BOUGHT.items():
            value = _value(line.get(name, NULL))
            if isinstance(value, int | float) and value <= 0:
                self.rules.append(rule)
                return False
        return True


def _value(raw: Raw) -> object:
    """Decode a value; one that cannot be, such as 1e400, is none that we repair."""
    try:
        return _any(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ...


def _id(raw: Raw) -> Change | None:
    value = _value(raw)
    if isinstance(value, str):
        if value and is_nothing(value):
            return Change(NULL, rules.ID_NOTHING)
        if value != value.strip():
            return Change(Raw(_encode(value.strip())), rules.ID_BLANKS)
    elif isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return Change(Raw(_encode(int(value))), rules.ID_NUMBER)
    return None


def _cased(item_case: ItemCase, raw: Raw) -> Change | None:
    value = _value(raw)
    if item_case == "keep" or not isinstance(value, str):
        return None
    cased = value.lower() if item_case == "lower" else value.upper()
    return None if cased == value else Change(Raw(_encode(cased)), rules.ITEM_CASE)


def _time(raw: Raw) -> Change | None:
    value = _value(raw)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    if isinstance(value, str) and is_nothing(value):
        return Change(NULL, rules.VALUE_NOTHING)
    moment = None if _is_time(raw) else time_in(value)
    return None if moment is None else Change(Raw(_encode(moment)), rules.TIME_FORMAT)


def _is_time(raw: Raw) -> bool:
    try:
        _moment(raw)
    except msgspec.MsgspecError:
        return False
    return True


def _object(raw: Raw) -> Change | None:
    return Change(EMPTY, rules.EMPTY_LIST) if _value(raw) == [] else None


def _type(raw: Raw) -> Change | None:
    value = _value(raw)
    meant = value.strip().lower() if isinstance(value, str) else value
    if meant == value or meant not in {"track", *TYPES}:
        return None
    return Change(Raw(_encode(meant)), rules.TYPE_SPELLING)


def _event(raw: Raw) -> Change | None:
    value = _value(raw)
    meant = spelled(value) if isinstance(value, str) and value not in TRACK_KIND else ""
    return Change(Raw(_encode(meant)), rules.EVENT_SPELLING) if meant else None


def _number(raw: Raw) -> Change | None:
    value = _value(raw)
    if not isinstance(value, str):
        return None
    if is_nothing(value):
        return Change(NULL, rules.VALUE_NOTHING)
    number = number_in(value)
    return None if number is None else Change(Raw(number.encode()), rules.NUMBER_TEXT)


def _text(raw: Raw) -> Change | None:
    value = _value(raw)
    if isinstance(value, str) and value and is_nothing(value):
        return Change(NULL, rules.VALUE_NOTHING)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return Change(Raw(_encode(bytes(raw).decode())), rules.TEXT_NUMBER)
    return None
