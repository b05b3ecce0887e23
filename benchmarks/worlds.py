"""Jobs of any size, as they stand after some months: customers, models, session index, events.

A small population is lived once. Its customers are copied under other names, its catalogue under
other item ids, and what its customers do next becomes the events: so many per customer and day,
whatever their number, that as many timers fire per event.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import islice
from random import Random
from typing import Any, Final, NamedTuple
from zlib import crc32

import msgspec

from benchmarks.parts import batches, on_log
from crm_online import InProcess, Settings
from crm_online.customers.progress import Progress, progress_message
from crm_online.customers.store import decode_state, encode_state
from crm_online.log import Message
from crm_online.scores import Interaction, InteractionBatch
from crm_online.simulation.population import Population
from crm_online.simulation.population_settings import PopulationSettings
from crm_online.simulation.raw import RawEvent, timestamp
from streams.feeding import partition_of
from streams.producer import OutputProducer
from streams.topics import create_missing

__all__ = ["Lived", "World", "interactions", "lived"]

SAMPLES: Final = 1000
SAMPLE_EVENTS: Final = 40_000
SAMPLE_ITEMS: Final = 1000
MORE_EVENTS: Final = 40_000
AT_ONCE: Final = 10_000
SESSION_SECONDS: Final = 1800.0
DAY: Final = 86_400.0
SESSIONS: Final = 60_000
CLICKS: Final = 5

_encode: Final = msgspec.json.Encoder().encode


class Lived(NamedTuple):
    """What a small population left behind.

    Parameters
    ----------
    snapshots
        Of its customers, as of the beginning of the log.
    open_predictions
        Per customer, on average.
    models
        Messages of all models but the session index.
    watermark
        Highest event time.
    seconds_between
        Of event time, between two events of one customer.
    following
        What they do next.
    """

    snapshots: list[bytes]
    open_predictions: float
    models: list[Message]
    watermark: float
    seconds_between: float
    following: list[RawEvent]


@cache
def lived() -> Lived:
    """Live through a small population, once per process."""
    events = Population(PopulationSettings(customers=SAMPLES)).events()
    before = list(islice(events, SAMPLE_EVENTS))
    both = InProcess(Settings())
    for batch in batches(on_log(before), Settings().max_batch):
        for _ in both.process(0, batch):
            pass
    states = [decode_state(p) for p in both.scorer.partitions[0].store.packed.values()]
    for state in states:
        state.as_of = 0.0
    predictions = sum(len(state.predictions) for state in states)
    models = [m for slot in both.learner.slots.values() for m in slot.publish()]
    models += both.learner.publish_ranker()
    span = before[-1].at - before[0].at
    return Lived(
        [encode_state(state) for state in states],
        predictions / len(states),
        models,
        before[-1].at,
        span * len(states) / len(before),
        list(islice(events, MORE_EVENTS)),
    )


def interactions(items: int) -> list[Interaction]:
    """Return sessions over a catalogue: each walks among neighbours, busy ones more often.

    Parameters
    ----------
    items
        In the catalogue; each is touched by two customers at least.

    Examples
    --------
    >>> found = interactions(1000)
    >>> len({click.item for click in found})
    1000
    """
    random = Random(items)
    sessions, found = max(SESSIONS, 2 * items), []
    for session in range(sessions):
        first = session % items if session < 2 * items else int(items * random.random() ** 2)
        for click in range(CLICKS):
            at = first if not click else (first + int(random.expovariate(0.2))) % items
            found.append(
                Interaction(
                    offset=session * CLICKS + click,
                    index=0,
                    customer=f"s{session}",
                    session=1,
                    item=_item(at),
                    kind="Product Viewed",
                    at=float(session),
                )
            )
    return found


def _item(number: int) -> str:
    return f"i{number:06d}"


class World:
    """One job on a broker, ready for workers.

    Parameters
    ----------
    kafka
        Address of the broker.
    app
        Prefix of its topics.
    customers, items
        How many it has.
    hot_share
        Share of all events that one customer has.
    """

    def __init__(
        self, kafka: str, app: str, customers: int, items: int, hot_share: float = 0.0
    ) -> None:
        self.settings: Final = Settings(kafka=kafka, app=app)
        self.customers: Final = customers
        self._items = items
        self._hot_share = hot_share
        self._random = Random(customers + items)
        self._sent = 0

    async def write(self) -> None:
        """Put customers and models on their topics."""
        await asyncio.to_thread(create_missing, self.settings)
        producer = OutputProducer(self.settings, _fail)
        await producer.start()
        names: list[list[int]] = [[] for _ in range(self.settings.partitions)]
        for number in range(self.customers):
            names[partition_of(_customer(number).encode(), len(names))].append(number)
        for partition, mine in enumerate(names):
            await self._write_customers(producer, partition, mine)
        await self._write_models(producer)
        await producer.stop()

    def events(self, count: int) -> Iterator[RawEvent]:
        """Return what happens next."""
        template, between = lived().following, lived().seconds_between / self.customers
        for _ in range(count):
            event = template[self._sent % len(template)]
            self._sent += 1
            at = lived().watermark + self._sent * between
            # Of the template's customer, one session is one customer here.
            visit = f"{event.customer} {event.at // SESSION_SECONDS} {self._sent // len(template)}"
            yield self._rewritten(event, at, crc32(visit.encode()))

    def _rewritten(self, event: RawEvent, at: float, session: int) -> RawEvent:
        hot = self._random.random() < self._hot_share
        customer = "c-hot" if hot else _customer(session % self.customers)
        read = msgspec.json.decode(event.value)
        read.pop("anonymousId", None)
        read |= {"userId": customer, "timestamp": timestamp(at), "messageId": f"m{self._sent}"}
        _move_items(read, session % max(self._items // SAMPLE_ITEMS, 1) * SAMPLE_ITEMS)
        return RawEvent(at, customer, _encode(read))

    async def _write_customers(
        self, producer: OutputProducer, partition: int, names: Sequence[int]
    ) -> None:
        topic, snapshots = self.settings.topic("state"), lived().snapshots
        for first in range(0, len(names), AT_ONCE):
            messages = [
                Message(_customer(n).encode(), snapshots[n % len(snapshots)])
                for n in names[first : first + AT_ONCE]
            ]
            await producer.deliver(topic, partition, messages)
        begun = Progress(as_of=0, watermark=lived().watermark)
        await producer.deliver(topic, partition, [progress_message(begun)])
        events = self.settings.topic("events")
        await producer.deliver(events, partition, [Message(b"c", b"{}")])  # what they are as of

    async def _write_models(self, producer: OutputProducer) -> None:
        settings = self.settings
        both = InProcess(settings)
        replica = both.learner.replica
        replica.model.follow_many(interactions(self._items))
        replica.offset = 0
        models = [*lived().models, *both.learner.publish_next_item()]
        await producer.deliver(settings.topic("models"), 0, models)
        nothing = Message(b"", _encode(InteractionBatch(0, 0, [])))
        await producer.deliver(settings.topic("interactions"), 0, [nothing])


def _customer(number: int) -> str:
    return f"c{number:08d}"


def _move_items(read: Any, by: int) -> None:
    """Move all products of an event to another part of the catalogue."""
    if isinstance(read, dict):
        for name, value in read.items():
            if name == "product_id":
                digits = "".join(filter(str.isdigit, str(value)))
                read[name] = _item(by + int(digits or 0) % SAMPLE_ITEMS)
            else:
                _move_items(value, by)
    elif isinstance(read, list):
        for each in read:
            _move_items(each, by)


def _fail(error: BaseException) -> None:
    raise error
