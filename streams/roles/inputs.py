"""Which topics the learner reads now, and whether its snapshots were made from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

from crm_online.errors import SnapshotError
from streams.admin import Admin

if TYPE_CHECKING:
    from crm_online.settings import Settings

__all__ = ["INPUTS", "Input", "check_starts", "find_inputs"]

INPUTS: Final = ("outcomes", "interactions")


class Input(NamedTuple):
    """One input of the models: the topic's name, Kafka's id of it, and where it ends."""

    topic: str
    topic_id: str
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
            found[noun] = Input(topic, topic_id, admin.ends(topic, [0])[0])
    return found


def check_starts(starts: Mapping[str, int], inputs: Mapping[str, Input]) -> None:
    """Refuse to go on beyond the end of an input: it is not the one the models were made from.

    Parameters
    ----------
    starts
        Noun to the offset that the snapshots say to go on from.
    inputs
        From `find_inputs`.

    Raises
    ------
    SnapshotError
        Naming the topic and what to do.
    """
    for noun, found in inputs.items():
        if starts[noun] > found.end:
            raise SnapshotError(
                f"the models go on at {found.topic}[0]@{starts[noun]}, but that log ends at "
                f"{found.end}: it is not the one they were made from; stop all workers and run "
                "`crm-online adopt` to go on with the models, or `crm-online reset` to learn anew"
            )
