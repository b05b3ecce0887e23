"""The whole content model as bytes: versioned, compact, the same for equal states."""

from __future__ import annotations

import zlib
from typing import Any

import msgspec
import numpy as np

from crm_online.errors import SnapshotError
from crm_online.models.content.kernels import Table

__all__ = ["State", "read_state", "restore_table", "write_state"]

MAGIC = b"crm-content\0"
VERSION = 1
LEVEL = 1  # of compression: higher ones cost seconds and save a few percent


class State(msgspec.Struct):
    """What is written: of vectors and slots those that were touched, as their bytes."""

    parameters: dict[str, Any]
    clock: int = 0
    input_rows: bytes = b""
    inputs: bytes = b""
    input_sums: bytes = b""
    output_rows: bytes = b""
    outputs: bytes = b""
    output_sums: bytes = b""
    bias_rows: bytes = b""
    biases: bytes = b""
    bias_sums: bytes = b""
    last_rows: bytes = b""
    last: bytes = b""
    last_counts: bytes = b""
    last_keys: bytes = b""
    seen_rows: bytes = b""
    seen: bytes = b""
    seen_counts: bytes = b""
    seen_items: bytes = b""


def write_state(parameters: dict[str, Any], table: Table | None) -> bytes:
    """Write a model's parameters and all that it has learned."""
    state = State(parameters)
    if table is not None and table.clock[0]:
        state.clock = int(table.clock[0])
        for mark, columns in _PARTS.items():
            rows = np.flatnonzero(getattr(table, mark)).astype(np.uint32)
            setattr(state, f"{mark.rpartition('_')[0]}_rows", rows.tobytes())
            for column in columns:
                setattr(state, column, getattr(table, column)[rows].tobytes())
    packed = zlib.compress(msgspec.msgpack.encode(state), LEVEL)
    return MAGIC + bytes([VERSION]) + packed


# The column that tells which rows were touched, and all that is kept of those.
_PARTS = {
    "input_sums": ("inputs", "input_sums"),
    "output_sums": ("outputs", "output_sums"),
    "bias_sums": ("biases", "bias_sums"),
    "last_counts": ("last", "last_counts", "last_keys"),
    "seen_counts": ("seen", "seen_counts", "seen_items"),
}


def read_state(data: bytes) -> State:
    """Read what `write_state` wrote.

    Raises
    ------
    SnapshotError
        Where it is damaged, or written by a newer version.
    """
    head = len(MAGIC) + 1
    if not data.startswith(MAGIC) or len(data) < head:
        raise SnapshotError("these bytes are no content model; publish a snapshot from the learner")
    if data[head - 1] > VERSION:
        raise SnapshotError(
            f"content model version {data[head - 1]} is newer than this program reads ({VERSION}): "
            "update this worker to the learner's version of crm-online"
        )
    try:
        return msgspec.msgpack.decode(zlib.decompress(data[head:]), type=State)
    except (zlib.error, msgspec.MsgspecError) as error:
        raise SnapshotError(
            "content model is damaged; publish a new snapshot from the learner"
        ) from error


def restore_table(state: State, table: Table) -> None:
    """Fill a new table with what was learned.

    Raises
    ------
    SnapshotError
        Where the parts of the state do not fit one another.
    """
    table.clock[0] = state.clock
    try:
        for mark, columns in _PARTS.items():
            rows = np.frombuffer(getattr(state, f"{mark.rpartition('_')[0]}_rows"), np.uint32)
            for column in columns:
                held = getattr(table, column)
                held[rows] = np.frombuffer(getattr(state, column), held.dtype).reshape(
                    len(rows), *held.shape[1:]
                )
        filled = np.flatnonzero(table.seen_counts)
        table.filled[: len(filled)] = filled
        table.fillings[0] = len(filled)
    except (ValueError, IndexError) as error:
        raise SnapshotError(
            "content model is inconsistent; publish a new snapshot from the learner"
        ) from error
