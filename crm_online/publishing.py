"""From what a batch came to, to the records that go out: the last third of scoring."""

from __future__ import annotations

from typing import Final

import msgspec

from crm_online.cloudevents import event_id, headers, utc
from crm_online.customers.partition import Partition, progress_message, tombstone
from crm_online.customers.predictions import prediction_id, unpack_numbers
from crm_online.customers.state import DAY, Prediction
from crm_online.customers.store import encode_state
from crm_online.dead_letters import dead_letter
from crm_online.log import Effects, Message
from crm_online.models.active import Scored
from crm_online.recommending import Offer
from crm_online.scores import (
    InteractionBatch,
    NextItemOutcome,
    Opened,
    Recommendations,
    ScoreUpdate,
    Settled,
    Source,
)
from crm_online.settings import Settings
from crm_online.stepping import Moment, Stepped

__all__ = ["Publisher"]

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
        self._horizon = settings.horizon_days * DAY

    def effects(self, batch: Stepped, scored: Scored, offers: list[Offer]) -> Effects:
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
            "outcomes": self._outcomes(batch, scored),
            "interactions": self._interactions(batch),
            "scores": self._scores(batch, scored) + self._ticks(batch),
            "recommendations": self._recommendations(offers),
            "dead-letters": self._dead_letters(batch),
        }
        for customer, as_of in batch.expired.items():
            place = self._place(batch.partition, int(as_of) // 2)
            gone = Message(customer.encode(), None, [("source", _encode(place))])
            everything["scores"].append(gone)
            everything["recommendations"].append(gone)
        effects.outputs = {noun: messages for noun, messages in everything.items() if messages}
        return effects

    def checkpoint(self, batch: Stepped, effects: Effects) -> None:
        """Take the changed customers into the store, and into the effects as snapshots."""
        partition = batch.partition
        packed = {customer: encode_state(state) for customer, state in batch.live.items()}
        partition.store.save(packed)
        effects.snapshots = [Message(customer.encode(), value) for customer, value in packed.items()]
        epoch = partition.progress.epoch
        for customer, as_of in batch.expired.items():
            partition.store.drop(customer)
            partition.gone[customer] = (epoch, as_of)
            effects.snapshots.append(tombstone(customer, epoch, as_of))
        partition.pass_over(batch.as_of)
        effects.progress = progress_message(partition.progress)

    def _scores(self, batch: Stepped, scored: Scored) -> list[Message]:
        return [self._score(moment, scored, row) for row, moment in enumerate(batch.moments)]

    def _score(self, moment: Moment, scored: Scored, row: int) -> Message:
        at, name = utc(moment.at), event_id(moment.customer, moment.source, "score")
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
            utc(moment.last_activity) if moment.last_activity else None,
            scored.versions,
        )
        return Message(
            moment.customer.encode(),
            _encode(update),
            headers(b"crm.score.updated", self._source, name, at),
        )

    def _ticks(self, batch: Stepped) -> list[Message]:
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

    def _outcomes(self, batch: Stepped, scored: Scored) -> list[Message]:
        """Settled before opened at one due time, as the timers fired; touches stand apart."""
        timed: list[tuple[tuple[int, float, str], Message]] = []
        for moment, settlement in batch.settled:
            prediction = settlement.prediction
            timed.append((_order(moment), self._settled(moment, prediction, settlement.churned, settlement.spend)))
        for row, prediction in batch.opened:
            moment = batch.moments[row]
            timed.append((_order(moment), self._opened(moment, prediction, scored, row)))
        timed.sort(key=lambda pair: pair[0])
        return [message for _, message in timed] + self._touches(batch)

    def _opened(self, moment: Moment, prediction: Prediction, scored: Scored, row: int) -> Message:
        features, churn, value = unpack_numbers(prediction)
        opened = Opened(
            prediction_id(moment.customer, prediction.opened),
            moment.customer,
            utc(prediction.opened),
            utc(prediction.opened + self._horizon),
            msgspec.structs.replace(moment.source, index=1),
            features,
            scored.rfm(row),
            churn,
            value,
            _versions(prediction),
        )
        return self._outcome("opened", opened.prediction_id, moment, opened)

    def _settled(self, moment: Moment, prediction: Prediction, churned: bool, spend: int) -> Message:
        features, churn, value = unpack_numbers(prediction)
        settled = Settled(
            prediction_id(moment.customer, prediction.opened),
            moment.customer,
            utc(prediction.opened),
            utc(prediction.opened + self._horizon),
            moment.source,
            features,
            churn,
            value,
            _versions(prediction),
            churned,
            spend / 100.0,
            prediction.late,
        )
        return self._outcome("settled", settled.prediction_id, moment, settled)

    def _outcome(self, kind: str, name: str, moment: Moment, record: Opened | Settled) -> Message:
        ce_id = event_id(moment.customer, record.source, kind)
        ce_type = b"crm.prediction." + kind.encode()
        return Message(
            name.encode(), _encode(record), headers(ce_type, self._source, ce_id, utc(moment.at))
        )

    def _touches(self, batch: Stepped) -> list[Message]:
        messages = []
        for touch in batch.touches:
            name, at = event_id(touch.customer, touch.source, "next_item"), utc(touch.at)
            hit = touch.item in touch.offered
            outcome = NextItemOutcome(
                name,
                touch.customer,
                at,
                touch.source,
                touch.session,
                touch.item,
                touch.offered.index(touch.item) + 1 if hit else None,
                len(touch.offered),
                f"next_item@{touch.model}",
            )
            ce = headers(b"crm.next_item.settled", self._source, name, at)
            messages.append(Message(name.encode(), _encode(outcome), ce))
        return messages

    def _interactions(self, batch: Stepped) -> list[Message]:
        if not batch.interactions:
            return []
        first, progress = batch.interactions[0], batch.partition.progress
        value = InteractionBatch(progress.epoch, batch.partition.number, batch.interactions)
        source = Source(progress.epoch, batch.partition.number, first.offset, index=first.index)
        name = event_id("", source, "interactions")
        ce = headers(b"crm.interactions.observed", self._source, name, utc(first.at))
        return [Message(None, _encode(value), ce)]

    def _recommendations(self, offers: list[Offer]) -> list[Message]:
        messages = []
        for offer in offers:
            moment = offer.moment
            name, at = event_id(moment.customer, moment.source, "recommendations"), utc(moment.at)
            lists = Recommendations(
                name, moment.customer, at, moment.source, offer.items, offer.model
            )
            ce = headers(b"crm.recommendations.updated", self._source, name, at)
            messages.append(Message(moment.customer.encode(), _encode(lists), ce))
        return messages

    def _dead_letters(self, batch: Stepped) -> list[Message]:
        topic = self._settings.topic("events")
        return [
            dead_letter(record, rejection, topic, batch.partition.number)
            for record, rejection in batch.rejected
        ]


def _order(moment: Moment) -> tuple[int, float, str]:
    return moment.source.offset, moment.source.due, moment.customer


def _versions(prediction: Prediction) -> dict[str, str]:
    return {
        "churn": f"churn@{prediction.churn_offset}",
        "value": f"value@{prediction.value_offset}",
    }
