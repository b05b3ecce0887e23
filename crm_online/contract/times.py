"""How the published models read a time: as the hot path does, RFC 3339 with a zone."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
from pydantic import AwareDatetime, BeforeValidator

__all__ = ["When"]


def _rfc3339(value: object) -> object:
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str):
        raise ValueError("a time is a string")  # noqa: TRY004 -- pydantic wants a ValueError
    try:
        return msgspec.convert(value, datetime)
    except msgspec.ValidationError:
        raise ValueError("not an RFC 3339 time") from None


When = Annotated[AwareDatetime, BeforeValidator(_rfc3339)]
