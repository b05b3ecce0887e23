"""The features behind every score, computed again from the log alone: no model, no Kafka."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from crm_online.customers.features import features_many
from crm_online.customers.partition import Partition, PartitionRestore
from crm_online.customers.state import Prediction
from crm_online.log import Record
from crm_online.settings import Settings
from crm_online.slices import Moment
from crm_online.stepping import Stepper

__all__ = ["RFM", "Retraced", "Retracer"]

RFM: Final = ("recency_days", "frequency", "monetary")


class Retraced(NamedTuple):
    """What a part of the log came to.

    Parameters
    ----------
    moments
        Of the n scores, in log order.
    opened
        Predictions that were opened, each with the row of its moment.
    features : array of float64, shape (n, f)
        In the order of `FEATURES`.
    rfm : array of float64, shape (n, 3)
        Recency in days, frequency in occasions, money in major units: `RFM`.
    """

    moments: Sequence[Moment]
    opened: Sequence[tuple[int, Prediction]]
    features: NDArray[np.float64]
    rfm: NDArray[np.float64]


class Retracer:
    """Applies a log as a scorer does, and keeps what its models would have seen.

    Parameters
    ----------
    settings
        Those that the scores were made under.

    Examples
    --------
    >>> from crm_online.log import LogRecord
    >>> raw = b'{"type": "page", "userId": "c-1", "timestamp": "2026-03-01T12:00:00Z"}'
    >>> retracer = Retracer(Settings())
    >>> [part] = retracer.apply(0, [LogRecord(0, 1_772_366_400_000, b"c-1", raw)])
    >>> part.moments[0].customer, len(part.features), part.rfm.tolist()
    ('c-1', 1, [[0.0, 1.0, 0.0]])
    """

    def __init__(self, settings: Settings) -> None:
        self._stepper = Stepper(settings)
        self._partitions: dict[int, Partition] = {}

    def apply(self, partition: int, records: Sequence[Record]) -> Iterator[Retraced]:
        """Apply records of a partition, in log order from its beginning on.

        Parameters
        ----------
        partition
            Its number.
        records
            What follows those applied before.
        """
        for batch in self._stepper.step(self._held(partition), records):
            batch.keep()
            if batch.rows:
                yield Retraced(batch.moments, batch.opened, *features_many(batch.rows))

    def _held(self, number: int) -> Partition:
        held = self._partitions.get(number)
        if held is None:
            held = self._partitions[number] = Partition(number)
            PartitionRestore(held).finish()
        return held
