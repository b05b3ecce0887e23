"""Models taken along to inputs that were made anew: the same models, as of before the first record.

A snapshot is named by epoch and offset of its input. On a new input its offsets mean nothing, so it
is signed again in the next epoch with offset -1; what it applied of each partition it keeps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from crm_online.log import Message
from crm_online.models.snapshots import ModelSnapshot, pack
from crm_online.replica import input_of
from streams.upkeep.standing import Standing

if TYPE_CHECKING:
    from collections.abc import Iterable

    from crm_online.settings import Settings

__all__ = ["rebased", "stale_models"]


def stale_models(standing: Standing) -> list[ModelSnapshot]:
    """Return the snapshots that were made from inputs which are no longer there."""
    newest = standing.models.newest.values()
    epochs: dict[str, int] = {}
    for each in newest:
        noun = input_of(each.name)
        found = standing.inputs.get(noun)
        if found is not None and _is_stale(each, found.topic_id, found.end):
            epochs[noun] = max(each.epoch, epochs.get(noun, 0))
    return [each for each in newest if each.epoch <= epochs.get(input_of(each.name), -1)]


def _is_stale(snapshot: ModelSnapshot, topic_id: str, end: int) -> bool:
    other = bool(snapshot.topic_id and topic_id) and snapshot.topic_id != topic_id
    return other or snapshot.offset >= end


def rebased(
    settings: Settings, standing: Standing, stale: Iterable[ModelSnapshot]
) -> list[Message]:
    """Return the messages that put models onto the inputs that are there now.

    Parameters
    ----------
    settings
        Holds the signing key.
    standing
        Of the job.
    stale
        From `stale_models`.
    """
    key = settings.signing_key.get_secret_value().encode()
    highest = {name: each.epoch for name, each in standing.models.newest.items()}
    messages: list[Message] = []
    for each in stale:
        noun = input_of(each.name)
        epoch = 1 + max(e for name, e in highest.items() if input_of(name) == noun)
        topic_id = standing.inputs[noun].topic_id
        messages += pack(each.name, -1, each.model, key, epoch=epoch, topic_id=topic_id)
    written = {message.key for message in messages}
    gone = [chunk for chunk in sorted(standing.models.chunks) if chunk not in written]
    stale_names = {each.name for each in stale}
    return messages + [
        Message(chunk, None) for chunk in gone if chunk.decode().partition("/")[0] in stale_names
    ]
