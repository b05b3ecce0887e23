"""Endpoints that get webhooks, as an operator writes them."""

from __future__ import annotations

import re
from base64 import b64decode
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    field_validator,
    model_validator,
)

__all__ = ["Endpoint", "Endpoints"]

_PREFIX: Final = "whsec_"
# Of a secret, by Standard Webhooks 1.0.0.
_LEAST_BYTES: Final = 24
_MOST_BYTES: Final = 64


class Endpoint(BaseModel):
    """Who gets actions as signed webhooks, and which.

    Examples
    --------
    >>> secret = "whsec_" + "c2VjcmV0" * 4
    >>> Endpoint(name="mail", url="https://example.com/hook", secrets=[secret]).takes("x", "email")
    True
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    name: str = Field(description="Of the consumer group; another name begins anew.")
    url: SecretStr = Field(description="https://…; its path may be a secret.")
    secrets: Annotated[tuple[SecretStr, ...], Field(min_length=1)] = Field(
        description="whsec_…, base64 of 24 to 64 bytes; several while one replaces another."
    )
    actions: tuple[str, ...] = Field((), description="Names of actions; none: all.")
    channels: tuple[str, ...] = Field((), description="Channels of actions; none: all.")
    concurrency: Annotated[int, Field(gt=0, le=256)] = Field(8, description="Requests at a time.")
    timeout_seconds: Annotated[float, Field(gt=0, le=60)] = 15.0
    internal: bool = Field(
        default=False, description="Addresses of the own network are allowed, and http://."
    )

    @field_validator("name")
    @classmethod
    def _plain(cls, value: str) -> str:
        if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,31}", value):
            raise ValueError("use up to 32 small letters, digits, '-' and '_'")
        return value

    @field_validator("secrets")
    @classmethod
    def _strong(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        if not all(_is_secret(each.get_secret_value()) for each in value):
            raise ValueError(
                "a secret is whsec_ and the base64 of 24 to 64 random bytes, such as "
                'echo "whsec_$(openssl rand -base64 32)" makes'
            )
        return value

    @model_validator(mode="after")
    def _reachable(self) -> Endpoint:
        if not _is_address(self.url.get_secret_value(), ("https", "http")):
            raise ValueError("url is no address: write https://host/path, without a login")
        if not self.internal and not _is_address(self.url.get_secret_value(), ("https",)):
            raise ValueError("url must begin with https://, unless internal = true")
        return self

    def takes(self, action: str, channel: str) -> bool:
        """Say whether this endpoint gets such an action."""
        return (not self.actions or action in self.actions) and (
            not self.channels or channel in self.channels
        )


def _distinct(value: tuple[Endpoint, ...]) -> tuple[Endpoint, ...]:
    if len({each.name for each in value}) < len(value):
        raise ValueError("each endpoint needs a name of its own")
    return value


Endpoints = Annotated[tuple[Endpoint, ...], AfterValidator(_distinct)]


def _is_secret(text: str) -> bool:
    try:
        found = b64decode(text.removeprefix(_PREFIX), validate=True)
    except ValueError:
        return False
    return text.startswith(_PREFIX) and _LEAST_BYTES <= len(found) <= _MOST_BYTES


def _is_address(text: str, schemes: tuple[str, ...]) -> bool:
    try:
        parts = urlsplit(text)
        port = parts.port
        host = (parts.hostname or "").encode("idna")  # refuses labels that no name server has
    except ValueError:
        return False
    return (
        parts.scheme in schemes
        and bool(host)
        and port != 0
        and "@" not in parts.netloc
        and not any(sign.isspace() for sign in text)
    )
