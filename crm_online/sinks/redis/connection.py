"""The way to the server: address, TLS, retries, and what its errors mean."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from hashlib import sha1
from importlib.resources import files
from typing import Any, Final

from redis import exceptions as failures
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialWithJitterBackoff, NoBackoff

from crm_online.errors import ConfigurationError, SinkUnavailable
from crm_online.settings import Settings

__all__ = ["RETRIES", "SCRIPT_SHA", "Command", "Link", "connect"]

RETRIES: Final = 6
CONNECTIONS: Final = 100
CHUNK: Final = 250  # the server works on one while the next is packed
SCRIPT: Final = (files("crm_online.sinks.redis") / "cache.lua").read_text("utf-8")
SCRIPT_SHA: Final = sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()

Command = tuple[Any, ...]


def connect(settings: Settings, patience_seconds: float = 5.0) -> Redis:
    """Make a client; it connects at its first command.

    Calls beyond its connections wait for one to be free.

    Parameters
    ----------
    settings
        `redis` (``rediss://`` for TLS, user and password in it for an ACL), `redis_ca_file`.
    patience_seconds
        How long to wait for a connection that is free, to connect, and for each answer.

    Raises
    ------
    ConfigurationError
        Where the address cannot be understood.
    """
    address = settings.redis.get_secret_value()
    options: dict[str, Any] = {
        "decode_responses": False,
        "health_check_interval": 30,
        "max_connections": CONNECTIONS,
        "timeout": patience_seconds,
        "socket_connect_timeout": patience_seconds,
        "socket_timeout": patience_seconds,
        "socket_keepalive": True,
        # Writer and reader retry whole calls; retries inside of those would multiply.
        "retry": Retry(NoBackoff(), 0),
    }
    if settings.redis_ca_file is not None:
        if not address.startswith("rediss://"):
            raise ConfigurationError("CRM_REDIS_CA_FILE is set: CRM_REDIS must be rediss://…")
        options["ssl_ca_certs"] = str(settings.redis_ca_file)
    try:
        return Redis.from_pool(BlockingConnectionPool.from_url(address, **options))
    except (ValueError, TypeError):
        # The cause would quote the address, and with it the password.
        raise ConfigurationError(
            "CRM_REDIS is no address: write redis://[user:password@]host:port/db or rediss://…"
        ) from None


class Link:
    """Sends commands in one round trip; asks again, bounded, while the server is away.

    redis-py's own `Retry` does the waiting, around whole calls instead of inside of the
    connection: error replies within a pipeline (LOADING, READONLY, OOM, BUSY) never reach the
    connection's. Only send what may be repeated without harm.

    Parameters
    ----------
    client
        From `connect`.
    retries
        Attempts after the first.
    base_seconds
        Longest wait before the first retry; it doubles up to 2 s, with jitter.
    """

    def __init__(self, client: Redis, retries: int, base_seconds: float = 0.05) -> None:
        self._client = client
        self._retries = retries
        self._backoff = ExponentialWithJitterBackoff(cap=2.0, base=base_seconds)

    async def send(self, commands: Sequence[Command]) -> list[Any]:
        """Run commands in one round trip and return their replies.

        Raises
        ------
        SinkUnavailable
            Where the server did not take them within the retries.
        ConfigurationError
            Where it never will: credentials, permissions, certificate, cluster.
        """
        chunks = [commands[at : at + CHUNK] for at in range(0, len(commands), CHUNK)]
        answers = await asyncio.gather(*map(self._send, chunks), return_exceptions=True)
        replies: list[Any] = []
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
            replies += answer
        return replies

    async def _send(self, commands: Sequence[Command]) -> list[Any]:
        retry = Retry(self._backoff, self._retries, supported_errors=(failures.RedisError,))

        async def attempt() -> list[Any]:
            return await self._attempt(commands)

        try:
            return await retry.call_with_retry(attempt, _pass, is_retryable=_passing)
        except failures.RedisError as error:
            raise _explained(error, self._retries, _place(self._client)) from error

    async def _attempt(self, commands: Sequence[Command]) -> list[Any]:
        async with self._client.pipeline(transaction=False) as pipeline:
            for command in commands:
                pipeline.execute_command(*command)
            # Errors raised by the pipeline itself would quote the command: personal data.
            replies = await pipeline.execute(raise_on_error=False)
        for reply in replies:
            if isinstance(reply, failures.NoScriptError):
                await self._client.script_load(SCRIPT)
            if isinstance(reply, Exception):
                raise reply
        return replies


async def _pass(_: Exception) -> None:
    """Do nothing between attempts."""


_REFUSED: Final = (
    failures.AuthenticationError,
    failures.AuthenticationWrongNumberOfArgsError,
    failures.AuthorizationError,
    failures.NoPermissionError,
)
_CLUSTER: Final = (failures.AskError, failures.ClusterCrossSlotError)
_PASSING: Final = (
    failures.ConnectionError,
    failures.TimeoutError,
    failures.OutOfMemoryError,
    failures.ReadOnlyError,
    failures.ClusterDownError,
    failures.TryAgainError,
    failures.NoScriptError,
)
_PASSING_REPLIES: Final = ("BUSY ", "NOREPLICAS ", "MISCONF ")


def _untrusted(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _passing(error: Exception) -> bool:
    if isinstance(error, _REFUSED) or _untrusted(error):
        return False
    return isinstance(error, _PASSING) or str(error).startswith(_PASSING_REPLIES)


def _place(client: Redis) -> str:
    """Return host and port, or the socket; never the password."""
    about = client.connection_pool.connection_kwargs
    return str(about.get("path") or f"{about.get('host')}:{about.get('port')}")


def _explained(error: Exception, retries: int, at: str) -> ConfigurationError | SinkUnavailable:
    if isinstance(error, _REFUSED):
        return ConfigurationError(
            "Redis refused the user or password in CRM_REDIS, or its ACL forbids a command: "
            "check the address, and that the user may run @read @write @scripting on its keys"
        )
    if _untrusted(error):
        return ConfigurationError(
            "Redis shows a certificate that is not trusted: set CRM_REDIS_CA_FILE to its CA"
        )
    if isinstance(error, _CLUSTER):
        return ConfigurationError(
            "CRM_REDIS names one node of a cluster of several: name a single server or a proxy"
        )
    if "DB index" in str(error):
        return ConfigurationError(
            f"CRM_REDIS names a database that the server at {at} does not have: the number behind "
            "the last / must be below its setting `databases`, 16 by default"
        )
    if not _passing(error):
        return ConfigurationError(
            f"Redis at {at} refused a command for good ({type(error).__name__}): check that it "
            "runs Lua scripts, and that nothing else writes keys that begin with the CRM_APP"
        )
    return SinkUnavailable(
        f"Redis at {at} did not take a call after {retries} retries ({type(error).__name__}): "
        "check that the server in CRM_REDIS is up, writable and has memory left"
    )
