"""Receipts: what was predicted, when and by which model, and what happened, as outcome records."""

from __future__ import annotations

from collections import Counter
from typing import Final

import msgspec

from crm_online.cloudevents import event_id, headers, utc
from crm_online.customers.predictions import prediction_id, unpack_numbers, version_of
from crm_online.customers.state import DAY, Prediction
from crm_online.labels import Settlement, TreatmentSettlement
from crm_online.log import Message
from crm_online.models.active import Scored
from crm_online.scores import NextItemOutcome, Opened, Settled, TreatmentSettled
from crm_online.settings import Settings
from crm_online.slices import Moment, Slice

__all__ = ["Receipts"]

_encode: Final = msgspec.json.Encoder().encode


class Receipts:
    """Encodes what predictions of a batch opened and settled.

    Parameters
    ----------
    settings
        Of the whole program.
    """

    def __init__(self, settings: Settings) -> None:
        self._source = f"{settings.app}/score".encode()
        self._horizon = settings.horizon_days * DAY

    def messages(self, batch: Slice, scored: Scored) -> list[Message]:
        """Encode the outcomes of a slice: in the order the timers fired, then the touches.

        Settled ones come before the one opened at the same due time.
        """
        timed: list[tuple[tuple[int, float, str], Message]] = []
        at_once: Counter[tuple[int, float, str]] = Counter()  # after a shorter horizon, several
        for moment, settlement in batch.settled:
            order = _order(moment)
            timed.append((order, self._settled(moment, settlement, at_once[order])))
            at_once[order] += 1
        for row, prediction in batch.opened:
            moment = batch.moments[row]
            order = _order(moment)
            index = max(1, at_once[order])
            timed.append((order, self._opened(moment, prediction, scored, row, index)))
            at_once[order] = index + 1
        for moment, fate in batch.treated:
            order = _order(moment)
            index = max(2, at_once[order])
            timed.append((order, self._treated(moment, fate, index)))
            at_once[order] = index + 1
        timed.sort(key=lambda pair: pair[0])
        return [message for _, message in timed] + self._touches(batch)

    def _opened(
        self, moment: Moment, prediction: Prediction, scored: Scored, row: int, index: int
    ) -> Message:
        features, churn, value = unpack_numbers(prediction)
        opened = Opened(
            prediction_id(moment.customer, prediction.opened),
            moment.customer,
            utc(prediction.opened),
            utc(prediction.opened + self._horizon),
            msgspec.structs.replace(moment.source, index=index),
            features,
            scored.rfm(row),
            churn,
            value,
            _versions(prediction),
        )
        return self._outcome("opened", opened.prediction_id, moment, opened)

    def _settled(self, moment: Moment, settlement: Settlement, index: int) -> Message:
        prediction = settlement.prediction
        features, churn, value = unpack_numbers(prediction)
        settled = Settled(
            prediction_id(moment.customer, prediction.opened),
            moment.customer,
            utc(prediction.opened),
            utc(prediction.opened + self._horizon),
            msgspec.structs.replace(moment.source, index=index) if index else moment.source,
            features,
            churn,
            value,
            _versions(prediction),
            settlement.churned,
            settlement.spend / 100.0,
            prediction.late,
            settlement.treatments,
        )
        return self._outcome("settled", settled.prediction_id, moment, settled)

    def _treated(self, moment: Moment, fate: TreatmentSettlement, index: int) -> Message:
        treated = fate.treated
        settled = TreatmentSettled(
            treated.action_id,
            moment.customer,
            treated.action,
            treated.period,
            "control" if treated.control else "treated",
            utc(treated.at),
            utc(treated.at + self._horizon),
            msgspec.structs.replace(moment.source, index=index),
            fate.churned,
            fate.spend / 100.0,
            treated.share,
            treated.first,
        )
        ce_id = event_id(moment.customer, settled.source, "treatment")
        ce = headers(b"crm.treatment.settled", self._source, ce_id, utc(moment.at))
        return Message(treated.action_id.encode(), _encode(settled), ce)

    def _outcome(self, kind: str, name: str, moment: Moment, record: Opened | Settled) -> Message:
        ce_id = event_id(moment.customer, record.source, kind)
        ce_type = b"crm.prediction." + kind.encode()
        return Message(
            name.encode(), _encode(record), headers(ce_type, self._source, ce_id, utc(moment.at))
        )

    def _touches(self, batch: Slice) -> list[Message]:
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


def _order(moment: Moment) -> tuple[int, float, str]:
    return moment.source.offset, moment.source.due, moment.customer


def _versions(prediction: Prediction) -> dict[str, str]:
    used = {
        "churn": (prediction.churn_offset, prediction.churn_by),
        "value": (prediction.value_offset, prediction.value_by),
    }
    return {name: version_of(name, *which) for name, which in used.items() if which[0] >= 0}
