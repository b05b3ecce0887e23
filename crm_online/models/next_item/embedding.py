"""Kernels: vectors of items, learned online from which item follows which.

References
----------
Mikolov et al., Distributed representations of words and phrases and their compositionality
(CBOW, negative sampling), NeurIPS 2013. Duchi et al., Adaptive subgradient methods (Adagrad),
Journal of Machine Learning Research 12 (2011).
"""

from __future__ import annotations

import math

import numpy as np

from crm_online.models.compiling import compiled
from crm_online.models.next_item.layout import SPARE, Float32, Int32
from crm_online.models.next_item.sessions import hash_session
from crm_online.models.next_item.weights import (
    DIMENSIONS,
    DRAWN,
    ENTERED,
    RECENT_CLICKS,
    SEED,
    Embedding,
)

__all__ = ["embed_item", "learn_follower", "remember_click", "session_vector"]

REACH = 6  # newest clicks that make the vector of a session
FADING = np.exp(-np.arange(REACH) / 2).astype(np.float32)  # by clicks from the end
NEGATIVES = 10  # items drawn for each click, as those that did not follow
FEWEST = 1000  # clicks to draw from, before anything is learned
RATE = np.float32(0.3)
LEAST = np.float32(1e-6)
SPREAD = 0.2  # of the coordinates of a new item


@compiled
def embed_item(item: int, embedding: Embedding) -> None:
    """Give an item that enters small random vectors, drawn from the count of entries."""
    seed = np.uint64(embedding.clock[SEED])
    first = embedding.clock[ENTERED] * 2 * DIMENSIONS
    for place in range(DIMENSIONS):
        one = (hash_session(seed, first + place) >> np.uint64(11)) * 2.0**-53
        other = (hash_session(seed, first + DIMENSIONS + place) >> np.uint64(11)) * 2.0**-53
        embedding.inputs[item, place] = SPREAD * (one - 0.5)
        embedding.outputs[item, place] = SPREAD * (other - 0.5)
    embedding.squares[item, :] = 0
    embedding.clock[ENTERED] += 1


@compiled
def session_vector(items: Int32, inputs: Float32, vector: Float32) -> np.float32:
    """Average the vectors of the last six clicks, fading towards the past, leaving out strangers.

    Returns
    -------
    The sum of their weights; 0 where none is known.
    """
    vector[:] = 0
    total = np.float32(0)
    for back in range(min(REACH, len(items))):
        item = items[len(items) - 1 - back]
        if item >= len(inputs) - SPARE:
            continue
        total += FADING[back]
        for place in range(DIMENSIONS):
            vector[place] += FADING[back] * inputs[item, place]
    if total > 0:
        for place in range(DIMENSIONS):
            vector[place] /= total
    return total


@compiled
def learn_follower(items: Int32, follower: int, embedding: Embedding, work: Float32) -> None:
    """Take one step towards the item that followed, and away from some that did not.

    Parameters
    ----------
    items
        Item numbers of the session before the click.
    follower
        Item number of the click.
    embedding
        Changed in place.
    work
        float32 (2, 32): work space.
    """
    drawn = embedding.clock[DRAWN]
    held = min(drawn, RECENT_CLICKS)
    if held < FEWEST:
        return
    vector, pull = work[0], work[1]
    outputs, squares, recent = embedding.outputs, embedding.squares, embedding.recent
    total = session_vector(items, embedding.inputs, vector)
    if total == 0:
        return
    length = np.float32(0)
    for place in range(DIMENSIONS):
        length += vector[place] * vector[place]
        pull[place] = 0
    length /= np.float32(DIMENSIONS)
    seed = np.uint64(embedding.clock[SEED])
    for draw in range(NEGATIVES + 1):
        item = follower
        if draw > 0:
            number = hash_session(seed, -(drawn * NEGATIVES + draw))
            item = recent[np.int64((number >> np.uint64(11)) % np.uint64(held))]
            if item == 0 or item == follower:  # noqa: PLR1714 - numba knows no `in` here
                continue
        closeness = np.float32(0)
        for place in range(DIMENSIONS):
            closeness += vector[place] * outputs[item, place]
        error = np.float32(draw == 0) - np.float32(1 / (1 + math.exp(-closeness)))
        squares[item, 1] += error * error * length
        step = error * RATE / np.sqrt(squares[item, 1] + LEAST)
        for place in range(DIMENSIONS):
            pull[place] += error * outputs[item, place]
            outputs[item, place] += step * vector[place]
    _pull_session(items, total, pull, embedding.inputs, squares)


@compiled
def _pull_session(
    items: Int32, total: np.float32, pull: Float32, inputs: Float32, squares: Float32
) -> None:
    """Hand the session's gradient on to its items."""
    strength = np.float32(0)
    for place in range(DIMENSIONS):
        strength += pull[place] * pull[place]
    strength /= np.float32(DIMENSIONS)
    for back in range(min(REACH, len(items))):
        item = items[len(items) - 1 - back]
        if item >= len(inputs) - SPARE:
            continue
        share = FADING[back] / total
        squares[item, 0] += strength * share * share
        step = share * RATE / np.sqrt(squares[item, 0] + LEAST)
        for place in range(DIMENSIONS):
            inputs[item, place] += step * pull[place]


@compiled
def remember_click(item: int, embedding: Embedding) -> None:
    """Let later clicks draw this one as an item that did not follow."""
    embedding.recent[embedding.clock[DRAWN] & (RECENT_CLICKS - 1)] = item
    embedding.clock[DRAWN] += 1
