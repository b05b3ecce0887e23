"""Template data: texts with fields such as ``{segment}``, checked when rules are read."""

from __future__ import annotations

from collections.abc import Mapping
from string import Formatter
from typing import Final

__all__ = ["FIELDS", "TRAIT", "check_template", "fill", "traits_of"]

FIELDS: Final = (
    "customer_id",
    "segment",
    "churn_probability",
    "expected_value",
    "currency",
    "orders",
    "spend",
    "item",
    "cart",
)
TRAIT: Final = "traits."


def _names(text: str) -> list[str]:
    found = []
    for _, name, form, conversion in Formatter().parse(text):
        if name is not None:
            if form or conversion:
                raise ValueError("a field is a name in braces and nothing else")
            found.append(name)
    return found


def check_template(name: str, text: str) -> None:
    """Refuse a text with a field that nothing fills.

    Raises
    ------
    ValueError
        Naming the text and the field.

    Examples
    --------
    >>> check_template("subject", "Still {segment}?")
    >>> check_template("subject", "Dear {nmae}")
    Traceback (most recent call last):
    ...
    ValueError: template subject has a field {nmae} that nothing fills; there are customer_id, ...
    """
    try:
        fields = _names(text)
    except ValueError as error:
        raise ValueError(f"template {name}: {error}") from None
    for field in fields:
        if field not in FIELDS and not (field.startswith(TRAIT) and field != TRAIT):
            raise ValueError(
                f"template {name} has a field {{{field}}} that nothing fills; there are "
                f"{', '.join(FIELDS)} and traits.NAME"
            )


def traits_of(text: str) -> set[str]:
    """Return the traits that a text needs.

    Examples
    --------
    >>> traits_of("Dear {traits.first_name}")
    {'first_name'}
    """
    return {name.removeprefix(TRAIT) for name in _names(text) if name.startswith(TRAIT)}


def fill(text: str, values: Mapping[str, str]) -> str:
    """Fill in the fields of a text; what is not known is left empty.

    Examples
    --------
    >>> fill("Dear {traits.first_name}, {{hello}}", {"traits.first_name": "Ann"})
    'Dear Ann, {hello}'
    """
    parts = []
    for literal, name, _, _ in Formatter().parse(text):
        parts.append(literal)
        if name is not None:
            parts.append(values.get(name, ""))
    return "".join(parts)
