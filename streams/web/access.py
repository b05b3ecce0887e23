"""Who may do what: write keys send events, API keys read, each by its role."""

from __future__ import annotations

import base64
import re
from hashlib import sha256
from typing import TYPE_CHECKING, Final, Literal

from streams.web.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import HTTPConnection

    from crm_online.settings import Settings

__all__ = ["PERMISSIONS", "Access", "Permission"]

Permission = Literal["figures", "recommendations", "customers"]

# A watcher sees no customer; a shop's pages ask for lists and need not know more.
PERMISSIONS: Final[Mapping[str, frozenset[Permission]]] = {
    "watcher": frozenset({"figures"}),
    "site": frozenset({"recommendations"}),
    "marketer": frozenset({"figures", "recommendations", "customers"}),
}
LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
_CALLED: Final = re.compile(r"(127\.0\.0\.1|\[::1\]|localhost)(:[0-9]{1,5})?", re.IGNORECASE)


class Access:
    """Checks keys.

    Without API keys, reading is free where HTTP is served on a loopback address only, and to those
    who call it by such a name: a page of somebody else's that points a name of its own here must
    not read what is on this machine.

    Parameters
    ----------
    settings
        `write_keys`, `api_keys`, `web_host`.
    """

    def __init__(self, settings: Settings) -> None:
        self._write = {_digest(key.get_secret_value()) for key in settings.write_keys}
        self._read: dict[bytes, frozenset[Permission]] = {}
        for each in settings.api_keys:
            role, _, key = each.get_secret_value().partition(":")
            self._read[_digest(key)] = PERMISSIONS[role]
        self._free = not self._read and settings.web_host in LOOPBACK

    def writer(self, request: HTTPConnection) -> bytes:
        """Return what stands for a write key, which is the user name of Basic auth.

        Raises
        ------
        Problem
            401 where it is none.
        """
        user = _user(request.headers.get("authorization", ""))
        found = _digest(user)
        if not user or found not in self._write:
            raise Problem(
                401,
                "unknown-write-key",
                "send a key of CRM_WRITE_KEYS as the user name of Basic auth",
                {"www-authenticate": 'Basic realm="intake"'},
            )
        return found

    def require(self, request: HTTPConnection, permission: Permission) -> None:
        """Let those pass whose key has a role that permits it.

        Raises
        ------
        Problem
            401 without a key that is known, 403 where its role does not permit this.
        """
        if self._free:
            if not _called_by_loopback(request):
                raise Problem(
                    403, "foreign-host", "without CRM_API_KEYS, call this by 127.0.0.1 or localhost"
                )
            return
        kind, _, key = request.headers.get("authorization", "").partition(" ")
        granted = self._read.get(_digest(key.strip())) if kind.lower() == "bearer" else None
        if granted is None:
            raise Problem(
                401,
                "unknown-api-key",
                "send a key of CRM_API_KEYS as Authorization: Bearer KEY",
                {"www-authenticate": 'Bearer realm="reads"'},
            )
        if permission not in granted:
            raise Problem(403, "not-permitted", f"the role of this key does not read {permission}")


def _digest(key: str) -> bytes:
    """Compare by hashes: how long that takes says nothing of the key."""
    return sha256(key.encode("utf-8", "surrogatepass")).digest()


def _called_by_loopback(request: HTTPConnection) -> bool:
    """Look at the header itself: what cannot be read as a host would be taken for our address."""
    hosts = request.headers.getlist("host")
    return len(hosts) == 1 and _CALLED.fullmatch(hosts[0]) is not None


def _user(header: str) -> str:
    kind, _, encoded = header.partition(" ")
    if kind.lower() != "basic":
        return ""
    try:
        return base64.b64decode(encoded, validate=True).decode().partition(":")[0]
    except ValueError:  # not base64, not ASCII, or not UTF-8 within
        return ""
