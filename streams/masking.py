"""Values of settings as they may be shown: secrets masked, also those inside of an address."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from pydantic import SecretStr

from crm_online.endpoints import Endpoint

__all__ = ["MASK", "masked", "masked_address"]

MASK: Final = "********"
_MASKED_FIELD: Final = rf"\g<1>{MASK}"
_SECRET: Final = re.compile(r"([?&][^=&#]*(?:pass|secret|token)[^=&#]*=)[^&#]*", re.IGNORECASE)


def masked(value: Any) -> Any:
    """Return a setting's value as JSON can hold it, without anything secret.

    Examples
    --------
    >>> masked(SecretStr("sesame")), masked(("a", "b")), masked(None)
    ('********', ['a', 'b'], None)
    """
    if isinstance(value, SecretStr):
        return masked_address(value.get_secret_value())
    if isinstance(value, Path | Decimal):
        return str(value)
    if isinstance(value, dict):
        return {str(name): masked(each) for name, each in value.items()}
    if isinstance(value, Endpoint):
        return {name: masked(each) for name, each in value} | {"url": _masked_path(value)}
    return [masked(each) for each in value] if isinstance(value, tuple) else value


def _masked_path(endpoint: Endpoint) -> str:
    """Show whose address it is: many services have their secret in the path."""
    parts = urlsplit(endpoint.url.get_secret_value())
    return f"{parts.scheme}://{parts.netloc}/{MASK}"


def masked_address(text: str) -> str:
    """Mask the password of an address; mask all of what is none.

    A password may hold what an address may not, such as ``/``, so all up to the last ``@`` is
    taken for it. A lone user name is masked, too: it may well be a misplaced password.

    Examples
    --------
    >>> masked_address("rediss://crm:se/s@me@cache:6380/0")
    'rediss://crm:********@cache:6380/0'
    >>> masked_address("redis://cache/0?password=sesame&db=1")
    'redis://cache/0?password=********&db=1'
    >>> masked_address("sesame")
    '********'
    """
    scheme, separator, rest = text.partition("://")
    if not separator:
        return MASK
    login, at, place = rest.rpartition("@")
    user, colon, _ = login.partition(":")
    shown = f"{user}:{MASK}" if colon else MASK if at else ""
    return f"{scheme}://{shown}{at}{_SECRET.sub(_MASKED_FIELD, place)}"
