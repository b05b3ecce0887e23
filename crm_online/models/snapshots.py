"""Signed snapshots of models: packed into chunks and a manifest, read back whole or not at all."""

from __future__ import annotations

import hashlib
import json
import pickle
import re
from collections.abc import Collection, Iterable
from typing import Any, Final, NamedTuple

from crm_online.errors import SnapshotError
from crm_online.log import Message, Record
from crm_online.models.unpickling import load
from crm_online.signing import sign, verify

__all__ = ["FORMAT", "Manifest", "ModelSnapshot", "Place", "SnapshotReader", "pack", "tombstones"]

FORMAT: Final = 1
CHUNK_BYTES: Final = 512 * 1024
PURPOSE: Final = b"crm.model-snapshot"
_PLACE: Final = re.compile(r"(?:([0-9]+)\.)?(-?[0-9]+)")
_NEVER: Final = (-1, -1)

Place = tuple[int, int]


class ModelSnapshot(NamedTuple):
    """One model as it was after one record of its input.

    Parameters
    ----------
    name
        Of the model.
    offset
        Of the last record of its input topic that it knows.
    version
        ``name@offset``, as scores name it.
    model
        Whatever was packed.
    epoch
        Of its input topic: raised where that is another one under the old name.
    topic_id
        Kafka's id of that topic; ``""``: not known.
    """

    name: str
    offset: int
    version: str
    model: Any
    epoch: int = 0
    topic_id: str = ""

    @property
    def place(self) -> Place:
        """How far its input was read: epoch, then offset; the higher one is newer."""
        return self.epoch, self.offset


class Manifest(NamedTuple):
    """What a signed manifest promises.

    Parameters
    ----------
    name, offset
        Of the snapshot.
    sha256
        Hash of each chunk, hexadecimal, in order.
    epoch, topic_id
        Of its input topic.
    """

    name: str
    offset: int
    sha256: tuple[str, ...]
    epoch: int = 0
    topic_id: str = ""


def pack(
    name: str,
    offset: int,
    model: object,
    key: bytes,
    chunk_bytes: int = CHUNK_BYTES,
    *,
    epoch: int = 0,
    topic_id: str = "",
) -> list[Message]:
    """Turn a model into messages for ``crm.models``: its chunks, then the signed manifest.

    Parameters
    ----------
    name
        Under which it is published; without a slash.
    offset
        Of the last record of its input topic that it knows; -1 knows none of this epoch.
    model
        Made of what `crm_online.models.unpickling` lets in.
    key
        The signing key.
    chunk_bytes
        Largest size of a chunk.
    epoch, topic_id
        Of the input topic.

    Raises
    ------
    SnapshotError
        Where the model holds what readers would not let in.

    Examples
    --------
    >>> [message.key for message in pack("churn", 17, "a" * 20, b"key", chunk_bytes=32)]
    [b'churn/17/0', b'churn/17/1', b'churn']
    """
    if not name or "/" in name or not name.isprintable():
        raise ValueError("a model's name is printable and has no slash")
    packed = pickle.dumps(model, protocol=5)
    # What no scorer would let in must fail here, at its writer, before it stops them all.
    load(packed, f"{name}@{offset}")
    chunks = [packed[i : i + chunk_bytes] for i in range(0, len(packed), chunk_bytes)]
    messages = [
        Message(_chunk_key(name, (epoch, offset), i), chunk) for i, chunk in enumerate(chunks)
    ]
    body: dict[str, Any] = {
        "format": FORMAT,
        "name": name,
        "epoch": epoch,
        "topic_id": topic_id,
        "offset": offset,
        "version": f"{name}@{offset}",
        "chunks": len(chunks),
        "sha256": [hashlib.sha256(chunk).hexdigest() for chunk in chunks],
    }
    body["signature"] = sign(key, PURPOSE, _canonical(body))
    return [*messages, Message(name.encode(), _canonical(body))]


def tombstones(name: str, offset: int, count: int, epoch: int = 0) -> list[Message]:
    """Return messages that remove the chunks of an old snapshot, `count` of them."""
    return [Message(_chunk_key(name, (epoch, offset), i), None) for i in range(count)]


class SnapshotReader:
    """Follows ``crm.models``: hands out each model's newest snapshot once it is whole.

    Chunks that are missing, or are not those the manifest names, leave their snapshot pending
    without an error: a learner that died between two messages leaves just that behind, and
    its successor writes the whole again.

    Parameters
    ----------
    key
        The signing key.
    without
        Names of models to pass over: large ones that this reader has no use for.

    Examples
    --------
    >>> from crm_online.log import LogRecord
    >>> records = [LogRecord(i, 0, *m) for i, m in enumerate(pack("churn", 17, [0.5], b"key"))]
    >>> SnapshotReader(b"key").apply(records)
    [ModelSnapshot(name='churn', offset=17, version='churn@17', model=[0.5], epoch=0, topic_id='')]
    """

    def __init__(self, key: bytes, without: Collection[str] = ()) -> None:
        self._key = key
        self._without = frozenset(without)
        self._taken: dict[str, Place] = {}
        self._chunks: dict[tuple[str, Place], dict[int, bytes]] = {}
        self._manifests: dict[str, dict[Place, Manifest]] = {}
        self._standing: dict[tuple[str, Place], int] = {}

    def apply(self, records: Iterable[Record]) -> list[ModelSnapshot]:
        """Take records of ``crm.models`` and return the models that became newer by them.

        Parameters
        ----------
        records
            In log order, from the beginning of the topic on.

        Raises
        ------
        SnapshotError
            Where a manifest is unsigned, signed with another key or of a newer format, or a
            model holds what is not let in.
        """
        for record in records:
            self._take(record)
        ready = (self._newest(name) for name in list(self._manifests))
        return [snapshot for snapshot in ready if snapshot is not None]

    def standing(self, name: str) -> list[tuple[Place, int]]:
        """Return the places of which chunks stand on the topic, and how many; oldest first."""
        return sorted((at, n) for (of, at), n in self._standing.items() if of == name)

    def _take(self, record: Record) -> None:
        key = (record.key or b"").decode(errors="replace")
        name, _, place = key.partition("/")
        if name in self._without:
            return
        if place:
            self._take_chunk(name, place, record.value)
        elif record.value is None:
            self._manifests.pop(name, None)
        else:
            manifest = read_manifest(name, record.value, self._key)
            at = manifest.epoch, manifest.offset
            if at > self._taken.get(name, _NEVER):
                self._manifests.setdefault(name, {})[at] = manifest

    def _take_chunk(self, name: str, place: str, value: bytes | None) -> None:
        text, _, number = place.partition("/")
        found = _PLACE.fullmatch(text)
        if found is None or not number.isdecimal():
            return
        at = int(found[1] or 0), int(found[2])
        if value is None:
            self._standing.pop((name, at), None)
        else:
            self._standing[name, at] = max(self._standing.get((name, at), 0), int(number) + 1)
        if value is None or at <= self._taken.get(name, _NEVER):
            self._chunks.get((name, at), {}).pop(int(number), None)
        else:
            self._chunks.setdefault((name, at), {})[int(number)] = value

    def _newest(self, name: str) -> ModelSnapshot | None:
        for at, manifest in sorted(self._manifests[name].items(), reverse=True):
            packed = _whole(manifest, self._chunks.get((name, at), {}))
            if packed is not None:
                version = f"{name}@{manifest.offset}"
                model = load(packed, version)
                self._forget_until(name, at)
                return ModelSnapshot(
                    name, manifest.offset, version, model, manifest.epoch, manifest.topic_id
                )
        return None

    def _forget_until(self, name: str, at: Place) -> None:
        self._taken[name] = at
        self._manifests[name] = {o: m for o, m in self._manifests[name].items() if o > at}
        for place in [p for p in self._chunks if p[0] == name and p[1] <= at]:
            del self._chunks[place]


def read_manifest(name: str, value: bytes, key: bytes) -> Manifest:
    """Check a manifest's signature and format and return what it promises.

    Parameters
    ----------
    name
        That it stands under.
    value
        Its bytes.
    key
        The signing key.

    Raises
    ------
    SnapshotError
        Where it cannot be trusted or read; the message says what to do.
    """
    try:
        body = json.loads(value)
        signature = str(body.pop("signature", ""))
        signed = verify(key, signature, PURPOSE, _canonical(body))
    except (ValueError, AttributeError, TypeError):
        signed = False
    if not signed or body.get("name") != name:
        raise SnapshotError(
            f"the snapshot of {name!r} on the models topic is not signed with our key: give every "
            "worker the learner's CRM_SIGNING_KEY, or find out who else writes to the topic"
        )
    if body["format"] > FORMAT:
        raise SnapshotError(
            f"{body['version']} is a snapshot of format {body['format']}, this program reads up "
            f"to {FORMAT}: update this worker to the learner's version of crm-online"
        )
    sha256, epoch = tuple(body["sha256"]), int(body.get("epoch", 0))  # none in the first version
    return Manifest(name, int(body["offset"]), sha256, epoch, str(body.get("topic_id", "")))


def _whole(manifest: Manifest, chunks: dict[int, bytes]) -> bytes | None:
    found = [chunks.get(i) for i in range(len(manifest.sha256))]
    parts = [part for part in found if part is not None]
    hashes = tuple(hashlib.sha256(part).hexdigest() for part in parts)
    return b"".join(parts) if hashes == manifest.sha256 else None


def _chunk_key(name: str, place: Place, number: int) -> bytes:
    epoch, offset = place
    return f"{name}/{f'{epoch}.' if epoch else ''}{offset}/{number}".encode()


def _canonical(body: dict[str, Any]) -> bytes:
    return json.dumps(body, sort_keys=True, separators=(",", ":")).encode()
