"""Faust apps whose agents read batches of records instead of single messages.

Faust spends some fifty microseconds on each message that an agent reads. Here a message is a
`Batch` of up to ``max_batch`` records, so that price is paid once for all of them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol

import faust
from faust.tables import TableManager
from faust.transport.drivers import TRANSPORTS
from faust.types import AppT, Message
from faust.types.topics import TopicT

from crm_online.errors import CrmOnlineError
from crm_online.log import Record
from streams.connection import BATCH_SCHEME
from streams.lease import Lease

__all__ = ["IDLE_SECONDS", "Batch", "BatchApp", "BatchSchema", "Generation", "Owner"]

# That wait for their agent: behind these nothing is fetched, so that what waits longer comes in
# larger batches. Faust takes no bound of a topic's own: agents clone their topics without it.
BUFFERED_BATCHES: Final = 1
IDLE_SECONDS: Final = 50.0  # the group waits for a minute for us to join again

_log = logging.getLogger(__name__)

TRANSPORTS.aliases[BATCH_SCHEME] = "streams.transport:Transport"


class Generation(NamedTuple):
    """One stable membership of a consumer group: its number, and who we are in it."""

    number: int
    member: str


@dataclass(frozen=True, slots=True)
class Batch:
    """Consecutive records of one partition, as one fetch brought them.

    Parameters
    ----------
    topic, partition
        Where they were read.
    records
        In log order, never empty.
    end
        The partition's end offset as last heard from the broker.
    begin
        The offset right behind the batch handed out before, or where reading began.
    """

    topic: str
    partition: int
    records: Sequence[Record]
    end: int
    begin: int = 0

    def follow(self, applied: int) -> None:
        """See that nothing was left out between what is applied and this.

        Parameters
        ----------
        applied
            The offset right behind the last record applied.

        Raises
        ------
        CrmOnlineError
            Where something was: to go on would call applied what nobody read.
        """
        if self.begin > applied:
            raise CrmOnlineError(
                f"{self.topic}[{self.partition}] went on at offset {self.begin} where {applied} "
                "was to come: the worker ends to read it again from what is durable; start it again"
            )


class Owner(Protocol):
    """Who processes the batches of a topic, and knows where to go on after a rebalance."""

    async def idle(self) -> None:
        """Take no further batch, and return when all that were taken are delivered."""

    async def restore(self, generation: Generation, partitions: frozenset[int]) -> None:
        """Get ready for these partitions: all that we own from this generation on."""

    def resume_at(self) -> Mapping[int, int]:
        """Partition to the offset to read from; for others the group's commit decides."""

    def lose(self) -> None:
        """Write nothing more and let go of everything, until restored."""


class _NoTables(TableManager):
    """Faust's, which waits for a second for tables to be declared: there are none."""

    async def on_start(self) -> None:
        await self._update_channels()
        await self.recovery.start()


class BatchApp(faust.App):
    """A Faust app some of whose topics arrive in batches.

    Parameters
    ----------
    group
        Name of the consumer group, and of the app.
    max_batch
        Most records that a batch may hold.
    fetch_max_wait_seconds
        How long the broker may hold back a fetch that finds nothing.
    stop
        Called with the reason where the consumer cannot be positioned; ends the process.
    lease
        What says whether the partitions are still ours; one of its own by default.
    options
        As `faust.App` takes them.
    """

    def __init__(
        self,
        group: str,
        *,
        max_batch: int,
        stop: Callable[[BaseException], None],
        fetch_max_wait_seconds: float = 0.5,
        lease: Lease | None = None,
        **options: Any,
    ) -> None:
        self.max_batch: Final = max_batch
        self.fetch_max_wait_ms: Final = int(fetch_max_wait_seconds * 1000)
        self.stop_process: Final = stop
        self.owners: Final[dict[str, Owner | None]] = {}
        super().__init__(
            group, stream_buffer_maxsize=BUFFERED_BATCHES, TableManager=_NoTables, **options
        )
        self.lease: Final = lease or Lease(self.conf.broker_session_timeout)
        self.on_rebalance_complete.connect(self._restore_owners, weak=False)

    def batch_topic(self, name: str, owner: Owner | None = None) -> TopicT:
        """Declare a topic whose agent gets `Batch` values.

        Parameters
        ----------
        name
            Of the topic.
        owner
            Who restores and positions it; without one the group's commits do.
        """
        self.owners[name] = owner
        return self.topic(name, schema=BatchSchema())

    async def watch_lease(self) -> None:
        """Let go of everything and join the group again whenever the lease is lost."""
        while True:
            await self.lease.lapse()
            _log.warning(
                "%s heard nothing from its group for %g s (CRM_SESSION_TIMEOUT_SECONDS): what was "
                "under way is dropped, the partitions are given up, and the group is joined again",
                self.conf.id,
                self.conf.broker_session_timeout,
            )
            for owner in self.owners.values():
                if owner is not None:
                    owner.lose()
            consumer: Any = self.consumer
            consumer.rejoin()

    async def on_stop(self) -> None:
        """Finish what was begun before the agents are cancelled: an orderly end repeats nothing."""
        for owner in self.owners.values():
            if owner is not None:
                await owner.idle()
        await super().on_stop()

    async def _restore_owners(self, *_: object, **__: object) -> None:
        consumer: Any = self.consumer
        consumer.unposition()  # of two restores that overlap only the last one's seek counts
        generation = Generation(self.consumer_generation_id, consumer.member_id())
        assigned = consumer.assignment()
        try:
            for topic, owner in self.owners.items():
                if owner is not None and not self.lease.lost:  # else all is restored again, soon
                    partitions = frozenset(tp.partition for tp in assigned if tp.topic == topic)
                    await owner.restore(generation, partitions)
        except Exception as error:  # noqa: BLE001 - Faust would go on without the state
            if self.lease.lost:
                _log.warning("a restore without the lease has failed: %r", error)
            else:
                self.stop_process(error)

    def _crash(self, reason: BaseException) -> None:
        """End the process: Faust would live on as a shell that does nothing."""
        super()._crash(reason)
        self.loop.call_soon_threadsafe(self.stop_process, reason)  # it may be the consumer's thread


class BatchSchema(faust.Schema[Any, Batch]):
    """Hands the batch through undecoded."""

    def compile(self, app: AppT, **_: Any) -> Any:
        """Return the coroutine function that makes an event of a message."""

        async def decode(message: Message, *, propagate: bool = False) -> Any:
            del propagate
            return app.create_event(None, message.value, None, message)

        return decode
