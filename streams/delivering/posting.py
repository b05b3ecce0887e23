"""One attempt to deliver a webhook: posted once, not redirected, never to an address of our own."""

from __future__ import annotations

import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, NamedTuple

import aiohttp
from aiohttp.abc import AbstractResolver

from crm_online import __version__
from streams.delivering.addresses import InternalAddress, OwnThreads, public_socket
from streams.delivering.schedule import retry_after
from streams.delivering.signing import Signer

if TYPE_CHECKING:
    from crm_online.endpoints import Endpoint

__all__ = ["Answer", "Poster"]

_AGENT: Final = {"user-agent": f"crm-online/{__version__}"}


class Answer(NamedTuple):
    """What came of one attempt.

    Parameters
    ----------
    delivered
        The receiver has it.
    gone
        The receiver wants no more, ever (410).
    why
        What failed, free of anything secret or personal.
    wait_seconds
        As the receiver asked for by ``retry-after``.
    quick
        It failed at once: another try costs nobody any time.
    """

    delivered: bool = False
    gone: bool = False
    why: str = ""
    wait_seconds: float = 0.0
    quick: bool = True


class Poster:
    """Posts to one endpoint by connections of its own: who hangs holds up no other.

    Parameters
    ----------
    endpoint
        Where to.
    resolver
        Finds addresses of names; the system's by default.
    """

    def __init__(self, endpoint: Endpoint, resolver: AbstractResolver | None = None) -> None:
        self._endpoint = endpoint
        self._signer = Signer(endpoint.secrets)
        self._resolver = resolver or OwnThreads()
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Get ready; connects at the first attempt."""
        connector = aiohttp.TCPConnector(
            limit=self._endpoint.concurrency,
            resolver=self._resolver,
            use_dns_cache=False,  # a name may point elsewhere by now
            socket_factory=None if self._endpoint.internal else public_socket,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=self._endpoint.timeout_seconds),
            headers=_AGENT,
        )

    async def close(self) -> None:
        """Disconnect."""
        if self._session is not None:
            await self._session.close()
        await self._resolver.close()

    async def post(self, webhook_id: str, body: bytes) -> Answer:
        """Try once.

        Parameters
        ----------
        webhook_id
            The same at every try.
        body
            Signed and posted as it is.
        """
        if self._session is None:
            raise RuntimeError("open the poster first")
        url = self._endpoint.url.get_secret_value()
        try:
            headers = self._signer.headers(webhook_id, time.time(), body)
            async with self._session.post(
                url, data=body, headers=headers, allow_redirects=False
            ) as response:
                return _answer(response.status, response.headers.get("retry-after"))
        except TimeoutError:
            seconds = self._endpoint.timeout_seconds
            return Answer(why=f"no answer within {seconds:g} s", quick=False)
        except Exception as error:  # noqa: BLE001 - one letter or address never ends the worker
            return Answer(why=_reason(error))


def _answer(status: int, header: str | None) -> Answer:
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return Answer(delivered=True)
    wait = retry_after(header, time.time())
    why = f"status {status}"
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        why += ", and redirects are not followed"
    return Answer(gone=status == HTTPStatus.GONE, why=why, wait_seconds=wait, quick=not wait)


def _reason(error: BaseException) -> str:
    """Name what failed; messages of the library hold the address."""
    cause = getattr(error, "os_error", None) or error
    if isinstance(cause, InternalAddress) or "an internal address was refused" in str(cause):
        return "an internal address was refused"
    return type(error).__name__
