"""The thread in which Faust's consumer fetches, and keeps up its membership of the group."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from aiokafka.errors import (
    IllegalStateError,
    KafkaError,
    NoError,
    RebalanceInProgressError,
    for_code,
)
from aiokafka.protocol.group import HeartbeatRequest, SyncGroupRequest
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from mode.threads import ServiceThread, WorkerThread

from crm_online.errors import BrokerUnavailable
from streams.batches import BatchApp
from streams.consumer import stop_in_time

__all__ = ["ConsumerThread", "Fetched"]

_log = logging.getLogger(__name__)


class Fetched(dict[TP, list[Any]]):
    """Records by partition, stamped with how often the consumer had been sought by then."""

    def __init__(self, records: Mapping[TP, list[Any]], seeks: int) -> None:
        super().__init__(records)
        self.seeks = seeks


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
    _wanted = 0

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

    async def getmany(self, active_partitions: Any, timeout: float) -> Any:  # noqa: ASYNC109 - Faust's
        """Fetch; what comes when nobody waits for it any more is left to the next fetch."""
        self._wanted = ticket = self._wanted + 1
        try:
            return await self.call_thread(self._fetch_wanted, ticket, active_partitions, timeout)
        except asyncio.CancelledError:
            self._wanted += 1
            raise

    async def _fetch_wanted(self, ticket: int, active_partitions: Any, timeout: float) -> Fetched:  # noqa: ASYNC109
        # Whoever asked is cancelled at a rebalance, and this goes on: it may wait for records until
        # the flow goes on behind the rebalance, and would take the first of them.
        consumer = self._ensure_consumer()
        records = await self._fetch_records(
            consumer,
            active_partitions,
            timeout,
            consumer._max_poll_records,  # noqa: SLF001 - as Faust
        )
        if ticket != self._wanted:
            for tp, taken in records.items():
                with suppress(IllegalStateError):  # it is another's now
                    consumer.seek(tp, taken[0].offset)
            records = {}
        return Fetched(records, self.seeks)

    async def _seek_wait(self, consumer: Any, partitions: Mapping[TP, int]) -> None:
        self.seeks += 1
        await super()._seek_wait(consumer, partitions)
