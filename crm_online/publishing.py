"""From what a batch came to, to the records that go out: the last third of scoring."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from crm_online.cloudevents import event_id, headers, traced, utc
from crm_online.customers.partition import Partition, tombstone
from crm_online.customers.progress import progress_message
from crm_online.dead_letters import dead_letter
from crm_online.log import Effects, Message
from crm_online.models.active import Scored
from crm_online.receipts import Receipts
from crm_online.recommending import Offer
from crm_online.scores import (
    Interaction,
    InteractionBatch,
    Recommendations,
    ScoreUpdate,
    Source,
)
from crm_online.settings import Settings
from crm_online.slices import AFTER_TIMERS, Moment, Slice

__all__ = ["Publisher"]

# Three texts of a hundred four-byte characters in each still make less than a megabyte.
PER_RECORD: Final = 500

_encode: Final = msgspec.json.Encoder().encode


class Publisher:
    """Encodes the effects of a batch.

    Parameters
    ----------
    settings
        Of the whole program.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._source = f"{settings.app}/score".encode()
        self._receipts = Receipts(settings)

    def effects(self, batch: Slice, scored: Scored, offers: list[Offer]) -> Effects:
        """Encode all that a slice of a batch causes, in log order within each topic.

        Parameters
        ----------
        batch
            From the stepper.
        scored
            The models' numbers for its rows.
        offers
            The lists for the customers who get a new one.
        """
        effects = Effects(events=batch.events, as_of=batch.as_of)
        everything = {
            "outcomes": self._receipts.messages(batch, scored),
            "interactions": self._interactions(batch),
            "scores": self._scores(batch, scored) + self._ticks(batch),
            "recommendations": self._recommendations(offers),
            "dead-letters": self._dead_letters(batch),
        }
        for customer, as_of in batch.expired.items():
            place = self._place(batch.partition, int(as_of) // 2)
            place = msgspec.structs.replace(place, step=0, due=AFTER_TIMERS)
            gone = Message(customer.encode(), None, [("source", _encode(place))])
            everything["scores"].append(gone)
            everything["recommendations"].append(gone)
        effects.outputs = {noun: messages for noun, messages in everything.items() if messages}
        return effects

    def checkpoint(self, batch: Slice, effects: Effects) -> None:
        """Take the changed customers into the store, and into the effects as snapshots."""
        partition, epoch = batch.partition, batch.partition.progress.epoch
        effects.snapshots = [
            Message(customer.encode(), value) for customer, value in batch.keep().items()
        ]
        effects.snapshots += [
            tombstone(customer, epoch, as_of) for customer, as_of in batch.expired.items()
        ]
        effects.progress = progress_message(partition.progress)

    def _scores(self, batch: Slice, scored: Scored) -> list[Message]:
        """Make all scores; a list stands in that of its own moment, and in those behind it."""
        newest: dict[str, Sequence[str]] = {}
        messages = []
        for row, moment in enumerate(batch.moments):
            who = moment.customer
            if batch.wanted.get(who) is moment and who in batch.live:
                newest[who] = batch.live[who].offered
            messages.append(self._score(moment, scored, row, newest.get(who, moment.offered)))
        return messages

    def _score(
        self, moment: Moment, scored: Scored, row: int, recommended: Sequence[str]
    ) -> Message:
        at, name = utc(moment.at), event_id(moment.customer, moment.source, "score")
        active = moment.last_activity  # most events are activity themselves
        update = ScoreUpdate(
            name,
            moment.customer,
            moment.message_id or None,
            at,
            moment.cause,
            moment.source,
            scored.segments[row],
            scored.clusters[row],
            scored.churn[row],
            scored.calibrated,
            scored.reasons(row),
            scored.value[row],
            self._settings.currency,
            moment.orders,
            moment.spend / 100.0,
            moment.refunds / 100.0,
            at if active == moment.at else utc(active) if active else None,
            scored.versions,
            utc(moment.first_seen),
            moment.event or None,
            [item.product_id for item in moment.items],
            moment.timezone,
            None if moment.consent is None else list(moment.consent),
            moment.traits,
            list(recommended),
            moment.unsubscribed,
        )
        ce = headers(b"crm.score.updated", self._source, name, at)
        return Message(moment.customer.encode(), _encode(update), traced(ce, moment.trace, name))

    def _ticks(self, batch: Slice) -> list[Message]:
        return [
            Message(
                record.key,
                _encode({"at": at}),
                headers(
                    b"crm.tick",
                    self._source,
                    event_id("", self._place(batch.partition, record.offset), "tick"),
                    utc(at),
                ),
            )
            for record, at in batch.ticks
        ]

    def _place(self, partition: Partition, offset: int) -> Source:
        return Source(partition.progress.epoch, partition.number, offset)

    def _interactions(self, batch: Slice) -> list[Message]:
        whole = batch.interactions
        parts = (whole[at : at + PER_RECORD] for at in range(0, len(whole), PER_RECORD))
        return [self._interactions_record(batch.partition, part) for part in parts]

    def _interactions_record(self, partition: Partition, part: list[Interaction]) -> Message:
        first, progress = part[0], partition.progress
        value = InteractionBatch(progress.epoch, partition.number, part)
        source = Source(progress.epoch, partition.number, first.offset, index=first.index)
        name = event_id("", source, "interactions")
        ce = headers(b"crm.interactions.observed", self._source, name, utc(first.at))
        return Message(None, _encode(value), ce)

    def _recommendations(self, offers: list[Offer]) -> list[Message]:
        messages = []
        for offer in offers:
            moment = offer.moment
            name, at = event_id(moment.customer, moment.source, "recommendations"), utc(moment.at)
            lists = Recommendations(
                name, moment.customer, at, moment.source, offer.items, offer.model
            )
            ce = headers(b"crm.recommendations.updated", self._source, name, at)
            ce = traced(ce, moment.trace, name)
            messages.append(Message(moment.customer.encode(), _encode(lists), ce))
        return messages

    def _dead_letters(self, batch: Slice) -> list[Message]:
        topic = self._settings.topic("events")
        return [
            dead_letter(record, rejection, topic, batch.partition.number)
            for record, rejection in batch.rejected
        ]
