"""The role `deliver`: actions as signed webhooks, each endpoint by a consumer group of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import ClassVar, Final

import structlog
from aiokafka.errors import KafkaError

from crm_online.endpoints import Endpoint
from crm_online.errors import ConfigurationError
from crm_online.log import Message, Record
from crm_online.settings import Settings
from streams.delivering.courier import RETRY, Courier
from streams.delivering.outbox import ACTIONS, Outbox
from streams.delivering.posting import Poster
from streams.delivering.standing import Standing, apply
from streams.followers import Follower
from streams.producer import OutputProducer
from streams.roles.tasks import Stop, Tasks

__all__ = ["DeliverRole", "Delivery"]

ENDPOINTS: Final = "endpoints"
AGAIN_SECONDS: Final = 1.0

_log = structlog.get_logger(__name__)


class Delivery:
    """Delivers to one endpoint for as long as it is not disabled.

    Parameters
    ----------
    endpoint
        Where to.
    settings
        Of the whole program.
    producer
        Of the role.
    stop
        Ends the process with a reason.
    """

    def __init__(
        self, endpoint: Endpoint, settings: Settings, producer: OutputProducer, stop: Stop
    ) -> None:
        self.endpoint: Final = endpoint
        self.standing: Final = Standing(endpoint.name, settings, self._note)
        self.outbox: Outbox | None = None
        self._reading: asyncio.Future[None] | None = None
        self._settings = settings
        self._producer = producer
        self._stop = stop
        self._poster = Poster(endpoint)
        self.courier: Final = Courier(endpoint, self._poster, self.standing, producer, settings)

    async def run(self) -> None:
        """Deliver while the endpoint is enabled; a disabled one costs nothing."""
        await self._poster.open()
        while True:
            await self.standing.until(disabled=False)
            try:
                await self._deliver()
            except KafkaError as error:
                name = self.endpoint.name
                _log.warning("delivering again", endpoint=name, reason=repr(error))
                await asyncio.sleep(AGAIN_SECONDS)

    async def close(self) -> None:
        """Let go of everything, once `run` was cancelled."""
        if self._reading is not None:  # cancelled once: twice would cut its goodbye short
            await asyncio.wait([self._reading])
        await self._poster.close()

    async def _deliver(self) -> None:
        self.outbox = Outbox(
            self.endpoint, self.courier, self._producer, self._settings, self._stop
        )
        self._reading = asyncio.ensure_future(self.outbox.run())
        disabled = asyncio.ensure_future(self.standing.until(disabled=True))
        try:
            await asyncio.wait({self._reading, disabled}, return_when=asyncio.FIRST_COMPLETED)
            if self._reading.done():
                self._reading.result()
        finally:
            disabled.cancel()
            self._reading.cancel()
            # Where we are cancelled meanwhile, `close` waits: who leaves a group is not cut short.
            await asyncio.wait([self._reading])
            self._reading = self.outbox = None

    async def _note(self, message: Message) -> None:
        await self._producer.deliver(self._settings.topic(ENDPOINTS), 0, [message])


class DeliverRole:
    """Delivers to all endpoints side by side.

    Parameters
    ----------
    settings
        Of the whole program.
    stop
        Ends the process with a reason.

    Raises
    ------
    ConfigurationError
        Where there is no endpoint.
    """

    nouns: ClassVar = (ACTIONS, RETRY, ENDPOINTS)

    def __init__(self, settings: Settings, stop: Stop) -> None:
        if not settings.webhooks:
            raise ConfigurationError(
                "the role deliver has nothing to do: name endpoints in CRM_WEBHOOKS, or leave "
                "deliver out of --roles"
            )
        self._settings = settings
        self._stop = stop
        self._tasks = Tasks(stop)
        self.producer = OutputProducer(settings, stop)
        self.deliveries = {
            each.name: Delivery(each, settings, self.producer, stop) for each in settings.webhooks
        }

    async def open(self) -> None:
        """Learn how the endpoints stand, and begin to deliver."""
        await self.producer.start()
        topic = self._settings.topic(ENDPOINTS)
        follower = Follower(self._settings, topic, self._hear, self._stop)
        self._tasks.begin(follower.run())
        await follower.caught_up()
        for delivery in self.deliveries.values():
            self._tasks.begin(delivery.run())

    async def close(self) -> None:
        """Let go of everything."""
        await self._tasks.end()
        await asyncio.gather(*[each.close() for each in self.deliveries.values()])
        await self.producer.stop()

    def _hear(self, records: Sequence[Record]) -> None:
        apply(records, {name: each.standing for name, each in self.deliveries.items()})
