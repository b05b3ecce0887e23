"""Every role's own figures on ``crm.metrics``, so that a dashboard elsewhere can show them."""

from __future__ import annotations

import asyncio
import os
import socket
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

import msgspec
import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from crm_online.cloudevents import event_id, headers
from crm_online.log import Message
from crm_online.metrics import WorkerUpdate
from crm_online.scores import Source
from streams.connection import client_options
from streams.figures import RoleFigures
from streams.health import RoleHealth

if TYPE_CHECKING:
    from crm_online.settings import Settings

__all__ = ["Report", "Reported", "Reporter", "worker_name"]

SECONDS: Final = 2.0  # between reports: what is called live must move
TIMEOUT_MS: Final = 5_000

_encode: Final = msgspec.json.Encoder().encode
_log = structlog.get_logger(__name__)


class Report(NamedTuple):
    """How a role is, and what it has done."""

    health: RoleHealth
    figures: RoleFigures


class Reported(Protocol):
    """A role that says how it is, and what it has done."""

    def health(self) -> RoleHealth:
        """Return it as of now."""

    def figures(self) -> RoleFigures:
        """Return it as of now."""


def worker_name() -> str:
    """Name this process among all workers.

    Examples
    --------
    >>> worker_name().rpartition("-")[2].isdigit()
    True
    """
    return f"{socket.gethostname()}-{os.getpid()}"


class Reporter:
    """Writes the figures of a worker's roles every two seconds; while Kafka is away, none.

    Parameters
    ----------
    settings
        Of the whole program.
    roles
        By name.
    """

    def __init__(self, settings: Settings, roles: Mapping[str, Reported]) -> None:
        self._settings = settings
        self._roles = roles
        self._worker = worker_name()
        self._reports = 0

    async def run(self) -> None:
        """Report until cancelled."""
        while True:
            with suppress(KafkaError):  # everything else here says so already
                await self._report()
            await asyncio.sleep(SECONDS)

    async def _report(self) -> None:
        producer = AIOKafkaProducer(
            **client_options(self._settings),
            request_timeout_ms=TIMEOUT_MS,  # a worker that is to stop waits no longer than this
        )
        try:
            await producer.start()
            while True:
                await self._write(producer)
                await asyncio.sleep(SECONDS)
        finally:
            await producer.stop()

    async def _write(self, producer: Any) -> None:
        topic = self._settings.topic("metrics")
        for key, value, ce in self.messages(datetime.now(UTC)):
            await producer.send_and_wait(topic, value, key, partition=0, headers=list(ce))

    def messages(self, at: datetime) -> Iterator[Message]:
        """Return one record per role.

        Parameters
        ----------
        at
            The present time.
        """
        self._reports += 1
        for name, role in self._roles.items():
            key = f"{name}/{self._worker}/figures"
            source = f"{self._settings.app}/{name}".encode()
            ce_id = event_id(self._worker, Source(0, 0, self._reports), f"{name}@{at.timestamp()}")
            ce = headers(b"crm.worker.updated", source, ce_id, at)
            yield Message(key.encode(), _encode(self._update(name, role, at)), ce)

    def _update(self, name: str, role: Reported, at: datetime) -> WorkerUpdate:
        health, done = role.health(), role.figures()
        return WorkerUpdate(
            name,
            self._worker,
            at,
            health.state,
            done.consumed,
            done.produced,
            done.batches,
            done.batch_seconds,
            done.restored,
            health.to_restore,
            {f"{topic}[{partition}]": lag for (topic, partition), lag in done.lag.items()},
            dict(done.rejected),
            _nested(done.moves),
            _nested(done.actions),
            _nested(done.repairs),
        )


def _nested(counts: Mapping[tuple[str, str], int]) -> dict[str, dict[str, int]]:
    nested: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for (first, second), count in counts.items():
        nested[first][second] = count
    return dict(nested)
