"""Which topics the learner reads now, and whether its snapshots were made from them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

from crm_online.errors import SnapshotError
from streams.admin import Admin

if TYPE_CHECKING:
    from crm_online.settings import Settings

__all__ = ["INPUTS", "Input", "check_starts", "find_inputs"]

INPUTS: Final = ("outcomes", "interactions")

_log = logging.getLogger(__name__)


class Input(NamedTuple):
    """One input of the models: the topic's name, Kafka's id of it, where it begins and ends."""

    topic: str
    topic_id: str
    begin: int
    end: int


def find_inputs(settings: Settings) -> dict[str, Input]:
    """Return the inputs that are there, by noun.

    Raises
    ------
    BrokerUnavailable
        Where no broker answers, or it refuses us.
    """
    admin, found = Admin(settings), {}
    for noun in INPUTS:
        topic, topic_id, partitions = admin.origin(settings.topic(noun))
        if partitions:
            begin, end = admin.begins(topic, [0])[0], admin.ends(topic, [0])[0]
            found[noun] = Input(topic, topic_id, begin, end)
    return found


def check_starts(starts: Mapping[str, int], inputs: Mapping[str, Input]) -> dict[str, int]:
    """Say where to go on; what retention has taken unlearned is passed over, and said.

    Parameters
    ----------
    starts
        Noun to the offset that the snapshots say to go on from.
    inputs
        From `find_inputs`.

    Raises
    ------
    SnapshotError
        Where an input ends before that: it is not the one the models were made from. Names the
        topic and what to do.
    """
    found = dict(starts)
    for noun, each in inputs.items():
        start = starts[noun]
        if start > each.end:
            raise SnapshotError(
                f"the models go on at {each.topic}[0]@{start}, but that log ends at "
                f"{each.end}: it is not the one they were made from; stop all workers and run "
                "`crm-online adopt` to go on with the models, or `crm-online reset` to learn anew"
            )
        if 0 < start < each.begin:
            _log.warning(
                "%s[0] begins at %d: retention has taken %d records that were never learned",
                each.topic,
                each.begin,
                each.begin - start,
            )
        found[noun] = max(start, each.begin)
    return found
