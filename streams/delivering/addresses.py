"""Which addresses a webhook may go to: none of our own network, whatever its name resolves to."""

from __future__ import annotations

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any, Final

from aiohttp.abc import AbstractResolver, ResolveResult

__all__ = ["InternalAddress", "OwnThreads", "is_internal", "public_socket"]

LOOKUPS: Final = 4
_GATEWAY: Final = IPv6Network("64:ff9b::/96")  # RFC 6052: ends in an IPv4 address
# Public by the registry, and answered within a network: RFC 6890, Azure's host of each machine.
_WITHIN: Final = (IPv4Network("192.0.0.0/24"), IPv4Network("168.63.129.16/32"))
_LOCAL_GATEWAY: Final = IPv6Network("64:ff9b:1::/48")  # RFC 8215


class InternalAddress(OSError):
    """A name resolved to an address of our own network, or to no public one."""


def is_internal(address: str) -> bool:
    """Say whether an address is anything but a public one, also where IPv6 wraps an IPv4 address.

    Examples
    --------
    >>> [is_internal(a) for a in ("127.0.0.1", "::ffff:10.0.0.1", "169.254.169.254", "fd00::1")]
    [True, True, True, True]
    >>> [is_internal(a) for a in ("93.184.216.34", "2606:2800:220:1::1")]
    [False, False]
    """
    found = ip_address(address)
    if isinstance(found, IPv6Address):
        within = _translated(found)
        if within is not None:
            return _is_not_public(within)
        around = [each for each in (found.sixtofour, *(found.teredo or ())) if each is not None]
        return _is_not_public(found) or any(map(_is_not_public, around))
    return _is_not_public(found)


def _translated(found: IPv6Address) -> IPv4Address | None:
    """Return the IPv4 address that stands for an IPv6 one by itself or at a gateway."""
    if found in _GATEWAY:
        return IPv4Address(found.packed[-4:])
    return found.ipv4_mapped


def _is_not_public(found: IPv4Address | IPv6Address) -> bool:
    if isinstance(found, IPv6Address):
        local = found.is_site_local or found in _LOCAL_GATEWAY
    else:
        local = any(found in network for network in _WITHIN)
    return not found.is_global or found.is_multicast or found.is_reserved or local


def public_socket(info: tuple[Any, ...]) -> socket.socket:
    """Make the socket for one address that is about to be connected to.

    It is the last place before the connection, so what is checked is what is connected to, whether
    a name was resolved before or the address was written out.

    Parameters
    ----------
    info
        As `socket.getaddrinfo` returns it.

    Raises
    ------
    InternalAddress
        Where it is not public.
    """
    family, kind, protocol, _, where = info
    if is_internal(str(where[0])):
        raise InternalAddress("an internal address was refused")
    return socket.socket(family=family, type=kind, proto=protocol)


class OwnThreads(AbstractResolver):
    """Asks the system for addresses in threads of its own: a name that hangs holds up no other."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(LOOKUPS, "webhook-names")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of a name, anew each time."""
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(
            self._threads, lambda: socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)
        )
        return [
            ResolveResult(
                hostname=host,
                host=str(where[0]),
                port=port,
                family=each,
                proto=protocol,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for each, _, protocol, _, where in found
        ]

    async def close(self) -> None:
        """Let go of the threads; what hangs in one ends by itself."""
        self._threads.shutdown(wait=False, cancel_futures=True)
