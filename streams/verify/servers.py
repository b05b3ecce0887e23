"""The broker and the cache of a run: those in the settings, or its own, which it may hurt."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from pydantic import SecretStr

from crm_online.errors import BrokerUnavailable, ConfigurationError
from crm_online.settings import Settings
from streams.embedded import RealKafka, Valkey, kafka_available
from streams.verify.schedule import Wanted

__all__ = ["DurableValkey", "Servers", "serving"]


class DurableValkey(Valkey):
    """A Valkey that still knows after a restart what it had answered before."""

    def command(self) -> Sequence[str]:
        """Return the command line of the server."""
        log = ["--appendonly", "yes", "--appendfsync", "no", "--dir", str(self.folder)]
        given = list(super().command())
        return [*given[: given.index("--appendonly")], *log]


@dataclass(frozen=True, slots=True)
class Servers:
    """Where a run works, and what of it is its own.

    Parameters
    ----------
    settings
        With the addresses in them.
    broker, cache
        Own servers; ``None`` where they are the user's.
    """

    settings: Settings
    broker: RealKafka | None
    cache: DurableValkey | None
    _broker_turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _cache_turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def restart_broker(self, seconds: float, *, crash: bool) -> None:
        """Take the broker away for a while, in order or by SIGKILL; one time after the other."""
        if self.broker is None:
            return
        async with self._broker_turn:
            if crash:
                await asyncio.to_thread(self.broker.kill)
                await asyncio.sleep(seconds)
                await asyncio.to_thread(self.broker.start)
            else:
                await asyncio.to_thread(self.broker.restart)

    async def cut_cache(self, seconds: float, *, crash: bool) -> None:
        """Take the cache away for a while: by SIGKILL, or so that it takes calls and is silent."""
        if self.cache is None:
            return
        async with self._cache_turn:
            if crash:
                await asyncio.to_thread(self.cache.kill)
                await asyncio.sleep(seconds)
                await asyncio.to_thread(self.cache.start)
            elif self.cache.process_id is not None:
                os.kill(self.cache.process_id, signal.SIGSTOP)
                try:
                    await asyncio.sleep(seconds)
                finally:
                    os.kill(self.cache.process_id, signal.SIGCONT)


@contextmanager
def serving(settings: Settings, wanted: Wanted) -> Iterator[Servers]:
    """Use the servers that the settings name; start what they do not name.

    Raises
    ------
    ConfigurationError
        Where a server that is not ours would have to be restarted.
    BrokerUnavailable
        Where a Kafka of our own is wanted, and cannot be started here.
    """
    own_broker = "kafka" not in settings.model_fields_set
    own_cache = "redis" not in settings.model_fields_set
    _refuse(wanted, own_broker=own_broker, own_cache=own_cache)
    with ExitStack() as stack:
        broker = stack.enter_context(RealKafka()) if own_broker else None
        cache = stack.enter_context(DurableValkey()) if own_cache else None
        found: dict[str, object] = {}
        if broker is not None:
            found["kafka"] = broker.address
        if cache is not None:
            found["redis"] = SecretStr(cache.url)
        yield Servers(settings.model_copy(update=found), broker, cache)


def _refuse(wanted: Wanted, *, own_broker: bool, own_cache: bool) -> None:
    if wanted.broker_restarts and not own_broker:
        raise ConfigurationError(
            "--broker-restarts needs a broker of verify's own, and CRM_KAFKA names yours: leave "
            "CRM_KAFKA unset, or leave out --broker-restarts"
        )
    if wanted.cache_outages and not own_cache:
        raise ConfigurationError(
            "--cache-outages needs a cache of verify's own, and CRM_REDIS names yours: leave "
            "CRM_REDIS unset, or leave out --cache-outages"
        )
    reason = kafka_available() if own_broker else None
    if reason is not None:
        raise BrokerUnavailable(f"{reason} Or name your own broker: set CRM_KAFKA to host:port.")
