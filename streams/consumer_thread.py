"""The thread in which Faust's consumer fetches, and keeps up its membership of the group."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, Final

from aiokafka.errors import KafkaError, NoError, RebalanceInProgressError, for_code
from aiokafka.protocol.group import HeartbeatRequest, SyncGroupRequest
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from mode.threads import ServiceThread, WorkerThread

from crm_online.errors import BrokerUnavailable
from streams.batches import BatchApp
from streams.consumer import stop_in_time

__all__ = ["ConsumerThread", "Fetched"]

GATHER_SECONDS: Final = 0.003  # a round trip to the broker, and a little

_log = logging.getLogger(__name__)


class Fetched(dict[TP, list[Any]]):
    """Records by partition, as one fetch took them.

    Parameters
    ----------
    records
        Partition to its records, never empty.
    seeks
        How often the consumer had been sought by then.
    follows
        Partition, also such that nothing came of, to the offset right behind the fetch before, or
        where it was sought to.
    """

    def __init__(
        self, records: Mapping[TP, list[Any]], seeks: int, follows: Mapping[TP, int]
    ) -> None:
        super().__init__(records)
        self.seeks = seeks
        self.follows = follows

    def and_then(self, later: Fetched) -> Fetched:
        """Return these records with those of a later fetch behind them."""
        both = self | {tp: self.get(tp, []) + found for tp, found in later.items()}
        return Fetched(both, later.seeks, {**later.follows, **self.follows})


class Daemon(WorkerThread):
    """A thread that does not keep its process: one that fails to start, or to stop, may end.

    What it left alive would answer for a member of the group that does nothing.
    """

    def __init__(self, service: ServiceThread, **options: Any) -> None:
        super().__init__(service, **options)
        self.daemon = True


class ConsumerThread(driver.AIOKafkaConsumerThread):
    """Faust's consumer thread, which stamps what it fetches and keeps up the group's lease."""

    app: BatchApp
    seeks = 0
    Worker = Daemon

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._taken: dict[TP, int] = {}

    def _create_worker_consumer(self, *args: Any, **options: Any) -> Any:
        consumer = super()._create_worker_consumer(*args, **options)
        # Faust says 1.5 s, and what is asked meanwhile on the same connection waits as long.
        consumer._fetch_max_wait_ms = self.app.fetch_max_wait_ms  # noqa: SLF001 - no other way
        return consumer

    async def on_start(self) -> None:
        """Listen to what the group's coordinator answers."""
        await super().on_start()
        coordinator = self._ensure_consumer()._coordinator  # noqa: SLF001 - no other way
        send, push = coordinator._send_req, coordinator._push_error_to_user  # noqa: SLF001 - as above

        async def send_and_listen(request: Any) -> Any:
            sent = self.app.lease.clock()  # not when the answer came: it may have waited for long
            response = await send(request)
            self._hear(request, response, sent)
            return response

        def end_and_push(error: Any) -> Any:
            # It waits for us to ask for it before it goes on, and Faust never does.
            self.app.loop.call_soon_threadsafe(
                self.app.stop_process,
                BrokerUnavailable(
                    f"the group {self.app.conf.id} does not work ({error!r}): look into the "
                    "broker's log, and check what CRM_KAFKA_USERNAME may do"
                ),
            )
            return push(error)

        coordinator._send_req = send_and_listen  # noqa: SLF001 - as above
        coordinator._push_error_to_user = end_and_push  # noqa: SLF001 - as above

    async def on_thread_stop(self) -> None:
        """Disconnect; whoever stops this waits without a limit, so nothing may cut it short."""
        try:
            await stop_in_time(self._consumer, super().on_thread_stop())
        except KafkaError as error:
            _log.warning("the consumer did not stop in order: %r", error)

    def _hear(self, request: Any, response: Any, sent: float) -> None:
        if isinstance(request, SyncGroupRequest) and for_code(response.error_code) is NoError:
            self.app.lease.grant(sent)
        # Who hears that the group rebalances is a member until it is joined anew.
        elif isinstance(request, HeartbeatRequest) and for_code(response.error_code) in {
            NoError,
            RebalanceInProgressError,
        }:
            self.app.lease.renew(sent)

    def rejoin(self) -> None:
        """Have the group joined again, even where it still takes us for a member."""
        coordinator = self._ensure_consumer()._coordinator  # noqa: SLF001 - no other way
        self.thread_loop.call_soon_threadsafe(coordinator.request_rejoin)

    def highwater(self, tp: TP) -> int:
        """Return the end of a partition as last heard; 0 of one that is another's by now.

        The thread gives partitions up as it learns of a rebalance, whoever looks at them meanwhile.
        """
        try:
            return super().highwater(tp) or 0
        except AssertionError:  # of aiokafka
            return 0

    async def _fetch_records(
        self,
        consumer: Any,
        active_partitions: Any,
        timeout: Any = None,  # noqa: ASYNC109 - Faust's signature
        max_records: Any = None,
    ) -> Fetched:
        """Take what was fetched, and what a fetch brings a moment later where that is little.

        A fetch that was asked for as the round before began was answered with the first record that
        came, and fetching paused: the rest comes with the next.
        """
        first = await self._take(consumer, active_partitions, timeout, max_records)
        if not 0 < sum(map(len, first.values())) < self.app.max_batch:
            return first
        await asyncio.sleep(GATHER_SECONDS)
        second = await self._take(consumer, active_partitions, 0.0, max_records)
        # The first may be of before a seek. What it was of other partitions is read again, since
        # the second does not follow what was handed on before.
        return first.and_then(second) if first.seeks == second.seeks else second

    async def _take(self, *args: Any) -> Fetched:
        records = await super()._fetch_records(*args)
        follows = dict(self._taken)
        self._taken |= {tp: found[-1].offset + 1 for tp, found in records.items()}
        return Fetched(records, self.seeks, follows)

    async def _seek_wait(self, consumer: Any, partitions: Mapping[TP, int]) -> None:
        self.seeks += 1
        self._taken |= partitions
        await super()._seek_wait(consumer, partitions)
