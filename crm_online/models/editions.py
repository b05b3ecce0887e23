"""The snapshots of one model over time: a new one is written, an old one is tombstoned."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from crm_online.log import Message
from crm_online.models.snapshots import Place, pack, tombstones

__all__ = ["KEPT", "Editions"]

KEPT: Final = 2


class Editions:
    """Publishes snapshots of one model; chunks go two snapshots later.

    Parameters
    ----------
    name
        Under which the model is published.
    key
        The signing key.

    Examples
    --------
    >>> editions = Editions("churn", b"key")
    >>> [[m.value is None for m in editions.publish(offset, [0.5])] for offset in (1, 2, 3)]
    [[False, False], [False, False], [False, False, True]]
    """

    def __init__(self, name: str, key: bytes) -> None:
        self._name = name
        self._key = key
        self._written: list[tuple[Place, int]] = []

    def go_on(self, written: Iterable[tuple[Place, int]]) -> None:
        """Take over what stands on the topic: places of snapshots, and their numbers of chunks."""
        self._written = sorted(written)

    @property
    def newest(self) -> Place:
        """Epoch and offset of the newest snapshot written here; (0, -1) before the first."""
        return self._written[-1][0] if self._written else (0, -1)

    def publish(
        self, offset: int, model: object, *, epoch: int = 0, topic_id: str = ""
    ) -> list[Message]:
        """Return the messages of a new snapshot: chunks, manifest, then tombstones of old chunks.

        Parameters
        ----------
        offset
            Of the last record of its input topic that the model knows.
        model
            What the allow-list of snapshots lets in.
        epoch, topic_id
            Of the input topic.
        """
        messages = pack(self._name, offset, model, self._key, epoch=epoch, topic_id=topic_id)
        place = epoch, offset
        self._written = [each for each in self._written if each[0] != place]  # written over
        self._written.append((place, len(messages) - 1))
        while len(self._written) > KEPT:
            (epoch, offset), count = self._written.pop(0)
            messages += tombstones(self._name, offset, count, epoch)
        return messages
