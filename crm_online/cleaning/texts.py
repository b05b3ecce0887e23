"""What texts mean that stand where numbers, times, ids and names belong; nothing is guessed."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Final

from crm_online.kinds import TRACK_KIND

__all__ = ["NOTHINGS", "is_nothing", "number_in", "spelled", "time_in"]

LONGEST: Final = 64  # characters of what may be a number, a time or a name

# As programs write them, in all their capitals: a text that is just one of these is nothing.
NOTHINGS: Final = frozenset(
    spelling
    for word in ("null", "undefined", "none", "nil", "nan", "NaN", "n/a", "(null)", "<null>")
    for spelling in (word, word.upper(), word.capitalize())
) | {"[object Object]"}
_CURRENCY: Final = re.compile(r"(?:[A-Z]{3}|[$€£¥])?\s*(.+?)\s*(?:[A-Z]{3}|[$€£¥])?")
_PLAIN: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
# Of "1,234" and "1.234,567" only the second has one meaning.
_COMMA: Final = re.compile(r"[+-]?[0-9]+,(?:[0-9]{1,2}|[0-9]{4,})")
_POINTS: Final = re.compile(r"[+-]?[0-9]{1,3}(?:(?:\.[0-9]{3})+,[0-9]+|(?:\.[0-9]{3}){2,})")
_COMMAS: Final = re.compile(r"[+-]?[0-9]{1,3}(?:(?:,[0-9]{3})+\.[0-9]+|(?:,[0-9]{3}){2,})")
_SPACED: Final = re.compile(r"[+-]?[0-9]{1,3}(?:[ '’\u00a0\u202f][0-9]{3})+(?:[.,][0-9]+)?")
_SPACES: Final = str.maketrans("", "", " '’\u00a0\u202f")
_TIME: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ][0-9]{2}:[0-9]{2}.*)?")
_NOT_NAME: Final = re.compile(r"[^a-z0-9]+")
_MILLISECONDS: Final = 10**11  # as seconds this were the year 5138, as milliseconds 1973


def is_nothing(text: str) -> bool:
    """Tell whether a text is what programs write for no value.

    Examples
    --------
    >>> is_nothing("NULL "), is_nothing("0")
    (True, False)
    """
    stripped = text.strip()
    return not stripped or stripped in NOTHINGS


def number_in(text: str) -> str | None:
    """Return the number that a text has, as JSON writes it; `None` where it has none, or several.

    Examples
    --------
    >>> [number_in(text) for text in ("9.50", "9,5 €", "1.234,50", "1 000", "1,234", "abc")]
    ['9.50', '9.5', '1234.50', '1000', None, None]
    """
    found = _CURRENCY.fullmatch(text.strip()) if len(text) <= LONGEST else None
    if found is None:
        return None
    number = found[1]
    if _COMMA.fullmatch(number):
        number = number.replace(",", ".")
    elif _POINTS.fullmatch(number):
        number = number.replace(".", "").replace(",", ".")
    elif _COMMAS.fullmatch(number):
        number = number.replace(",", "")
    elif _SPACED.fullmatch(number):
        number = number.translate(_SPACES).replace(",", ".")
    if not _PLAIN.fullmatch(number):
        return None
    return str(Decimal(number)).replace("E+", "e")


def time_in(value: str | float) -> str | None:
    """Return the moment that a value has, as ISO 8601 in UTC; `None` where it has none.

    Examples
    --------
    >>> time_in("2024-05-01 10:00"), time_in(1714557600000), time_in("01/05/2024")
    ('2024-05-01T10:00:00+00:00', '2024-05-01T10:00:00+00:00', None)
    """
    if isinstance(value, str):
        text = value.strip()
        if len(text) > LONGEST:
            return None
        if not _TIME.fullmatch(text):
            number = float(text) if re.fullmatch(r"[0-9]{9,13}(?:\.[0-9]+)?", text) else None
            return None if number is None else time_in(number)
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            return None
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).isoformat()
    seconds = value / 1000.0 if value >= _MILLISECONDS else float(value)
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        return None


@lru_cache(maxsize=4096)
def spelled(name: str) -> str:
    """Return the event of the Segment spec that a name is another spelling of, or ``""``.

    Examples
    --------
    >>> spelled("order_completed"), spelled("productViewed "), spelled("Quiz Taken")
    ('Order Completed', 'Product Viewed', '')
    """
    return "" if len(name) > LONGEST else _SPELLED.get(_letters(name), "")


def _letters(name: str) -> str:
    return _NOT_NAME.sub("", name.lower())


_SPELLED: Final = {_letters(name): name for name in TRACK_KIND}
