"""What events say of a customer beside what they did: time zone, consent, traits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

__all__ = ["Trait", "read_consent", "read_timezone", "read_traits"]

Trait = str | float | bool

MAX_LENGTH: Final = 100
MAX_CATEGORIES: Final = 32

_text: Final = msgspec.json.Decoder(str).decode
_preferences: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_trait: Final = msgspec.json.Decoder(bool | float | str).decode


class _Consent(msgspec.Struct, frozen=True, gc=False):
    category_preferences: msgspec.Raw | msgspec.UnsetType = msgspec.field(
        default=msgspec.UNSET, name="categoryPreferences"
    )


_consent: Final = msgspec.json.Decoder(_Consent).decode


def read_timezone(raw: msgspec.Raw) -> str:
    """Return the name of a time zone, or ``""`` where there is none that could be one.

    Examples
    --------
    >>> read_timezone(msgspec.Raw(b'"Europe/Amsterdam"')), read_timezone(msgspec.Raw(b"7"))
    ('Europe/Amsterdam', '')
    """
    try:
        name = _text(raw)
    except msgspec.MsgspecError:
        return ""
    return name if len(name) <= MAX_LENGTH and name.isascii() and name.isprintable() else ""


def read_consent(raw: msgspec.Raw) -> tuple[str, ...] | None:
    """Return the categories consented to; ``None`` where consent is not spoken of.

    What cannot be read denies: somebody meant to say something.

    Examples
    --------
    >>> read_consent(msgspec.Raw(b'{"categoryPreferences": {"marketing": true, "ads": false}}'))
    ('marketing',)
    >>> read_consent(msgspec.Raw(b'{"categoryPreferences": {}}')), read_consent(msgspec.Raw(b"{}"))
    ((), None)
    """
    try:
        given = _consent(raw).category_preferences
    except msgspec.MsgspecError:
        return None if bytes(raw) == b"null" else ()
    if isinstance(given, msgspec.UnsetType):
        return None
    try:
        said = _preferences(given)
    except msgspec.MsgspecError:
        return ()
    granted = sorted(n for n, v in said.items() if bytes(v) == b"true" and len(n) <= MAX_LENGTH)
    return tuple(granted[:MAX_CATEGORIES])


def read_traits(said: Mapping[str, msgspec.Raw], kept: frozenset[str]) -> dict[str, Trait | None]:
    """Return those traits that are kept; ``None`` is one to be forgotten.

    Examples
    --------
    >>> said = {"plan": msgspec.Raw(b'"gold"'), "age": msgspec.Raw(b"null")}
    >>> read_traits(said, frozenset({"plan", "age", "city"}))
    {'age': None, 'plan': 'gold'}
    """
    return {name: _read_trait(said[name]) for name in sorted(kept & said.keys())}


def _read_trait(raw: msgspec.Raw) -> Trait | None:
    try:
        value: Trait = _trait(raw)
    except msgspec.MsgspecError:
        return None  # a list, an object, a number out of range, or null
    return value[:MAX_LENGTH] if isinstance(value, str) else value
