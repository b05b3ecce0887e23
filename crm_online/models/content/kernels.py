"""Kernels: an embedding of tokens, learned one touch at a time."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from crm_online.models.compiling import compiled

__all__ = [
    "BIASES",
    "WIDTH",
    "Float32",
    "Table",
    "UInt16",
    "best_of",
    "learn_touches",
    "means",
    "new_table",
]

Float32 = npt.NDArray[np.float32]
UInt16 = npt.NDArray[np.uint16]

WIDTH = 16  # tokens of an item that count
BIASES = 2**16  # of items, by their hash; one more stands for all items
NEGATIVES = 8
RATE = np.float32(0.2)
START = np.float32(1.0)  # of Adagrad's accumulators: bounds the first steps
SPREAD = 0.5  # standard deviation of the first vectors


class Table(NamedTuple):
    """All that is learned, in arrays.

    Parameters
    ----------
    inputs, outputs
        float32 (buckets, dims): what a token says where it was touched, and where it may be next.
    input_sums, output_sums
        float32 (buckets,): Adagrad's sums; 0 for what was never touched.
    biases, bias_sums
        float32 (2^16 + 1,): how much likelier than others an item is, by its hash, and Adagrad's
        sums; the last one is what all items have in common.
    last, last_counts, last_keys
        uint16 (slots, 16), uint8 (slots,), uint64 (slots,): each session's newest item.
    seen, seen_counts, seen_items
        uint16 (slots, 16), uint8 (slots,), uint16 (slots,): items that were touched, by their
        hash.
    filled, fillings
        int64 (slots,), int64 (1,): the slots that hold an item, in order, and how many these are.
        They follow from `seen_counts`, so no snapshot holds them.
    clock
        int64 (1,): touches learned; what chance is drawn from.
    """

    inputs: Float32
    outputs: Float32
    input_sums: Float32
    output_sums: Float32
    biases: Float32
    bias_sums: Float32
    last: UInt16
    last_counts: npt.NDArray[np.uint8]
    last_keys: npt.NDArray[np.uint64]
    seen: UInt16
    seen_counts: npt.NDArray[np.uint8]
    seen_items: UInt16
    filled: npt.NDArray[np.int64]
    fillings: npt.NDArray[np.int64]
    clock: npt.NDArray[np.int64]


@compiled
def _mixed(number: Any) -> Any:
    """Mix 64 bits as SplitMix64 does."""
    number = (number ^ (number >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    number = (number ^ (number >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return number ^ (number >> np.uint64(31))


@compiled
def _fill(vectors: Float32) -> None:
    """Draw the first vectors, evenly, from each place's number: alike everywhere, for ever."""
    flat = vectors.reshape(-1)
    width = SPREAD * math.sqrt(12.0)
    for place in range(len(flat)):
        drawn = _mixed(np.uint64(place + 1) * np.uint64(0x9E3779B97F4A7C15))
        flat[place] = width * (np.float64(drawn >> np.uint64(11)) / 2.0**53 - 0.5)


def new_table(buckets: int, dims: int, slots: int) -> Table:
    """Make a table that knows nothing but which items share tokens."""
    inputs = np.empty((buckets, dims), np.float32)
    _fill(inputs)
    return Table(
        inputs,
        inputs.copy(),
        np.zeros(buckets, np.float32),
        np.zeros(buckets, np.float32),
        np.zeros(BIASES + 1, np.float32),
        np.zeros(BIASES + 1, np.float32),
        np.zeros((slots, WIDTH), np.uint16),
        np.zeros(slots, np.uint8),
        np.zeros(slots, np.uint64),
        np.zeros((slots, WIDTH), np.uint16),
        np.zeros(slots, np.uint8),
        np.zeros(slots, np.uint16),
        np.zeros(slots, np.int64),
        np.zeros(1, np.int64),
        np.zeros(1, np.int64),
    )


@compiled
def _mean(tokens: UInt16, vectors: Float32, found: Float32) -> None:
    found[:] = 0
    for token in tokens:
        for d in range(len(found)):
            found[d] += vectors[token, d]
    for d in range(len(found)):
        found[d] /= np.float32(max(1, len(tokens)))


@compiled
def _descend(tokens: UInt16, gradient: Float32, vectors: Float32, sums: Float32) -> None:
    """Take one Adagrad step for each token, with one sum of squares for each."""
    square = np.float32(0)
    for d in range(len(gradient)):
        square += gradient[d] * gradient[d]
    square /= np.float32(len(gradient))
    for token in tokens:
        sums[token] += square
        step = RATE / np.float32(math.sqrt(sums[token] + START))
        for d in range(len(gradient)):
            vectors[token, d] += step * gradient[d]


@compiled
def _contrast(
    target: UInt16,
    item: Any,
    label: np.float32,
    own: Float32,
    other: Float32,
    pull: Float32,
    table: Table,
) -> None:
    """Move an item's output towards the context, or away from it; gather what pulls it back."""
    _mean(target, table.outputs, other)
    product = table.biases[item] + table.biases[BIASES]
    for d in range(len(own)):
        product += own[d] * other[d]
    miss = label - np.float32(1.0 / (1.0 + math.exp(-product)))
    for d in range(len(own)):
        pull[d] += miss * other[d]
        other[d] = miss * own[d]
    _descend(target, other, table.outputs, table.output_sums)
    for place in (item, BIASES):
        table.bias_sums[place] += miss * miss
        table.biases[place] += RATE * miss / np.float32(math.sqrt(table.bias_sums[place] + START))


@compiled
def _learn_pair(before: UInt16, after: UInt16, item: Any, table: Table) -> None:
    dims = table.inputs.shape[1]
    own, other = np.empty(dims, np.float32), np.empty(dims, np.float32)
    pull = np.zeros(dims, np.float32)
    _mean(before, table.inputs, own)
    _contrast(after, item, np.float32(1), own, other, pull, table)
    for draw in range(NEGATIVES if table.fillings[0] > 0 else 0):
        number = np.uint64(table.clock[0] * NEGATIVES + draw + 1)
        drawn = _mixed(number * np.uint64(0x9E3779B97F4A7C15)) % np.uint64(table.fillings[0])
        place = table.filled[drawn]
        other_item = np.int64(table.seen_items[place])
        if other_item != item:
            tokens = table.seen[place, : table.seen_counts[place]]
            _contrast(tokens, other_item, np.float32(0), own, other, pull, table)
    _descend(before, pull, table.inputs, table.input_sums)


@compiled
def _fill_slot(place: Any, table: Table) -> None:
    """Note that a slot holds an item from now on; what order they came in leaves no trace."""
    at = table.fillings[0]
    while at > 0 and table.filled[at - 1] > place:
        table.filled[at] = table.filled[at - 1]
        at -= 1
    table.filled[at] = place
    table.fillings[0] += 1


@compiled
def learn_touches(
    keys: npt.NDArray[np.uint64],
    items: npt.NDArray[np.uint64],
    tokens: UInt16,
    bounds: npt.NDArray[np.int64],
    table: Table,
) -> None:
    """Learn touches in order.

    Parameters
    ----------
    keys, items
        Hashes of the n sessions and of the n items.
    tokens, bounds
        Those of item i are ``tokens[bounds[i]:bounds[i + 1]]``, 16 of them at most.
    table
        Changed in place.
    """
    slots = np.uint64(len(table.last_counts))
    for i in range(len(keys)):
        after = tokens[bounds[i] : bounds[i + 1]]
        item = np.int64(items[i] % np.uint64(BIASES))
        place = keys[i] % slots
        count = table.last_counts[place]
        if table.last_keys[place] == keys[i] and count > 0:
            before = table.last[place, :count].copy()
            if not (len(before) == len(after) and (before == after).all()):
                _learn_pair(before, after, item, table)
        table.last_keys[place] = keys[i]
        table.last_counts[place] = len(after)
        table.last[place, : len(after)] = after
        place = items[i] % slots
        if table.seen_counts[place] == 0:
            _fill_slot(np.int64(place), table)
        table.seen_counts[place] = len(after)
        table.seen[place, : len(after)] = after
        table.seen_items[place] = item
        table.clock[0] += 1


@compiled
def means(tokens: UInt16, bounds: npt.NDArray[np.int64], vectors: Float32) -> Float32:
    """Return float32 (n, dims): the mean vector of each item's tokens."""
    found = np.empty((len(bounds) - 1, vectors.shape[1]), np.float32)
    for i in range(len(found)):
        _mean(tokens[bounds[i] : bounds[i + 1]], vectors, found[i])
    return found


@compiled
def best_of(scores: Float32, k: int) -> npt.NDArray[np.int64]:
    """Return the places of the k highest scores, best first; of equals the first."""
    places = np.full(k, -1, np.int64)
    tops = np.full(k, -np.inf, np.float32)
    for place in range(len(scores)):
        score = scores[place]
        if score > tops[k - 1]:
            at = k - 1
            while at > 0 and tops[at - 1] < score:
                tops[at], places[at] = tops[at - 1], places[at - 1]
                at -= 1
            tops[at], places[at] = score, place
    return places[places >= 0]
