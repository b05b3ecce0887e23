"""The whole next-item model as bytes: versioned, compact, the same for equal states."""

from __future__ import annotations

import zlib
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from crm_online.errors import SnapshotError
from crm_online.models.next_item import layout
from crm_online.models.next_item.catalogue import Catalogue, Waiting
from crm_online.models.next_item.embedding import embed_item
from crm_online.models.next_item.engine import Engine
from crm_online.models.next_item.layout import (
    ARENA_USED,
    CAPACITY,
    POSTINGS,
    SESSION_LENGTH,
    SESSIONS,
    START,
    WRITTEN,
    Index,
    Int32,
    Int64,
)
from crm_online.models.next_item.repurchase import RepurchaseHabits
from crm_online.models.next_item.weights import DRAWN, RECENT_CLICKS, Embedding

__all__ = ["State", "read_state", "restore_state", "write_state"]

MAGIC = b"crm-next-item\0"
VERSION = 2
LEVEL = 1  # of compression: higher ones cost seconds and save a few percent


class EmbeddingState(msgspec.Struct, array_like=True):
    """Vectors of the items, and the newest clicks."""

    inputs: bytes
    outputs: bytes
    squares: bytes
    recent: bytes
    clock: bytes


class RerankerState(msgspec.Struct, array_like=True):
    """Weights of the re-ranker, and how far its learning is."""

    weights: bytes
    squares: bytes
    clock: bytes
    averages: bytes


class State(msgspec.Struct):
    """What is written: names and counters as they are, arrays as their bytes."""

    parameters: dict[str, Any]
    names: list[str]
    categories: list[str]
    free: list[int]
    elder: list[tuple[str, int, int, int]]
    younger: list[tuple[str, int, int, int]]
    counts: tuple[int, int, int, int]
    habits: dict[str, list[int]]
    clock: bytes
    session_keys: bytes
    session_lengths: bytes
    session_items: bytes
    ring_capacities: bytes
    ring_sizes: bytes
    postings: bytes
    statistics: bytes
    covisits: bytes
    leaders: bytes
    embedding: EmbeddingState | None = None  # not in version 1
    reranker: RerankerState | None = None


def write_state(
    parameters: dict[str, Any], engine: Engine, catalogue: Catalogue, habits: RepurchaseHabits
) -> bytes:
    """Write a model's parameters and all that it has learned."""
    index, items = engine.index, len(catalogue.names)
    slots = _held_slots(index)
    rows = index.sessions[slots]
    capacities, sizes, postings = _read_rings(index, items)
    state = State(
        parameters=parameters,
        names=catalogue.names,
        categories=catalogue.categories,
        free=catalogue.free,
        elder=[(item, *waiting) for item, waiting in catalogue.elder.items()],
        younger=[(item, *waiting) for item, waiting in catalogue.younger.items()],
        counts=(catalogue.provisional, catalogue.entered, catalogue.evicted, catalogue.dropped),
        habits=habits.counts,
        clock=index.clock[:ARENA_USED].tobytes(),
        session_keys=index.session_keys[slots].tobytes(),
        session_lengths=(rows != 0).sum(axis=1).astype(np.uint8).tobytes(),
        session_items=rows[rows != 0].tobytes(),
        ring_capacities=capacities.tobytes(),
        ring_sizes=sizes.tobytes(),
        postings=postings.tobytes(),
        statistics=index.statistics[:items].tobytes(),
        covisits=index.covisits[:items].tobytes(),
        leaders=index.leaders[: index.clock[layout.LEADING]].tobytes(),
        embedding=_read_embedding(engine.embedding, items),
        reranker=RerankerState(*(part.tobytes() for part in engine.reranker)),
    )
    packed = msgspec.msgpack.encode(state)
    return MAGIC + bytes([VERSION]) + zlib.compress(packed, LEVEL)


def _read_embedding(embedding: Embedding, items: int) -> EmbeddingState:
    held = min(int(embedding.clock[DRAWN]), RECENT_CLICKS)
    return EmbeddingState(
        embedding.inputs[:items].tobytes(),
        embedding.outputs[:items].tobytes(),
        embedding.squares[:items].tobytes(),
        embedding.recent[:held].tobytes(),
        embedding.clock.tobytes(),
    )


def _held_slots(index: Index) -> Int64:
    """Return the slots in use, oldest session first."""
    newest, slots = int(index.clock[SESSIONS]), len(index.sessions)
    return np.arange(newest - min(newest, slots) + 1, newest + 1, dtype=np.int64) & (slots - 1)


def _read_rings(index: Index, items: int) -> tuple[Int32, Int32, Int32]:
    """Return each ring's capacity and size, and all postings, oldest first within a ring."""
    rings = index.rings[:items]
    capacities = np.ascontiguousarray(rings[:, CAPACITY])
    sizes = np.minimum(rings[:, WRITTEN], capacities)
    within = _count_within(sizes)
    oldest = np.repeat(rings[:, WRITTEN] - sizes, sizes)
    wrap = np.repeat(np.maximum(capacities, 1) - 1, sizes)
    places = np.repeat(rings[:, START], sizes) + ((oldest + within) & wrap)
    return capacities, sizes, index.arena[places]


def _count_within(sizes: Int32) -> Int64:
    """Count 0, 1, 2 … anew within each of some consecutive groups."""
    ends = np.cumsum(sizes, dtype=np.int64)
    return np.arange(sizes.sum(), dtype=np.int64) - np.repeat(ends - sizes, sizes)


def read_state(data: bytes) -> State:
    """Read what `write_state` wrote.

    Raises
    ------
    SnapshotError
        Where the bytes are damaged, or written by a newer version.
    """
    if data[: len(MAGIC)] != MAGIC:
        raise SnapshotError("not a next-item model; publish a new snapshot from the learner")
    version = data[len(MAGIC)] if len(data) > len(MAGIC) else 0
    if version > VERSION:
        raise SnapshotError(
            f"next-item model of format {version}, this program reads {VERSION}: upgrade crm-online"
        )
    try:
        packed = zlib.decompress(data[len(MAGIC) + 1 :])
        return msgspec.msgpack.decode(packed, type=State)
    except (zlib.error, msgspec.MsgspecError) as error:
        raise SnapshotError(
            "next-item model is damaged; publish a new snapshot from the learner"
        ) from error


def restore_state(
    state: State, engine: Engine, catalogue: Catalogue, habits: RepurchaseHabits
) -> None:
    """Fill the parts of a new model, made with the state's parameters.

    Raises
    ------
    SnapshotError
        Where the parts of the state do not fit one another.
    """
    try:
        _restore_catalogue(state, catalogue)
        _restore_index(state, engine)
    except (ValueError, IndexError) as error:
        raise SnapshotError(
            "next-item model is inconsistent; publish a new snapshot from the learner"
        ) from error
    habits.counts = state.habits


def _restore_catalogue(state: State, catalogue: Catalogue) -> None:
    catalogue.names, catalogue.categories = state.names, state.categories
    catalogue.free = state.free
    free = {0, *state.free}
    catalogue.numbers = {
        name: number for number, name in enumerate(state.names) if number not in free
    }
    catalogue.elder = {item: Waiting(*waiting) for item, *waiting in state.elder}
    catalogue.younger = {item: Waiting(*waiting) for item, *waiting in state.younger}
    catalogue.strangers = {
        waiting.provisional: item
        for generation in (catalogue.elder, catalogue.younger)
        for item, waiting in generation.items()
    }
    catalogue.provisional, catalogue.entered, catalogue.evicted, catalogue.dropped = state.counts


def _restore_index(state: State, engine: Engine) -> None:
    index, items = engine.index, len(state.names)
    index.clock[:ARENA_USED] = np.frombuffer(state.clock, np.int64)
    slots = _held_slots(index)
    index.session_keys[slots] = np.frombuffer(state.session_keys, np.uint64)
    engine.insert_keys(slots)
    lengths = np.frombuffer(state.session_lengths, np.uint8).astype(np.int32)
    clicks = _numbers(state.session_items, items)
    index.sessions[np.repeat(slots, lengths), _count_within(lengths) % SESSION_LENGTH] = clicks
    index.statistics[:items] = _rows(state.statistics, np.float64, index.statistics.shape[1:])
    index.covisits[:items] = _rows(state.covisits, np.int32, index.covisits.shape[1:])
    engine.set_leaders(_numbers(state.leaders, items))
    engine.index = _restore_rings(state, index)
    _restore_embedding(state.embedding, items, engine)
    if state.reranker is not None:
        parts: tuple[npt.NDArray[Any], ...] = engine.reranker
        for part, data in zip(parts, msgspec.structs.astuple(state.reranker), strict=True):
            part[:] = np.frombuffer(data, part.dtype)


def _restore_embedding(state: EmbeddingState | None, items: int, engine: Engine) -> None:
    embedding = engine.embedding
    if state is None:
        for number in range(1, items):
            embed_item(number, embedding)
        return
    embedding.inputs[:items] = _rows(state.inputs, np.float32, embedding.inputs.shape[1:])
    embedding.outputs[:items] = _rows(state.outputs, np.float32, embedding.outputs.shape[1:])
    embedding.squares[:items] = _rows(state.squares, np.float32, embedding.squares.shape[1:])
    recent = _numbers(state.recent, items)
    embedding.recent[: len(recent)] = recent
    embedding.clock[:] = np.frombuffer(state.clock, np.int64)


def _numbers(data: bytes, items: int) -> Int32:
    """Read item numbers; the kernels check no bounds."""
    numbers = np.frombuffer(data, np.int32)
    if len(numbers) and numbers.max() >= items:
        raise ValueError("an item number without an item")
    return numbers


def _rows(data: bytes, dtype: type, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    return np.frombuffer(data, dtype).reshape(-1, *shape)


def _restore_rings(state: State, index: Index) -> Index:
    """Lay the rings out anew, one behind the other."""
    capacities = np.frombuffer(state.ring_capacities, np.int32)
    sizes = np.frombuffer(state.ring_sizes, np.int32)
    starts = np.cumsum(capacities, dtype=np.int64) - capacities
    used = int(capacities.sum(dtype=np.int64))
    rings = index.rings[: len(capacities)]
    rings[:, START], rings[:, CAPACITY], rings[:, WRITTEN] = starts, capacities, sizes
    arena = np.zeros(used + max(used // 4, 2 * POSTINGS), np.int32)
    arena[np.repeat(starts, sizes) + _count_within(sizes)] = np.frombuffer(state.postings, np.int32)
    index.clock[ARENA_USED] = used
    return index._replace(arena=arena)
