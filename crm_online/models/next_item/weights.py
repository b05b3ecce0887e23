"""The arrays of the embedding and of the re-ranker: what is learned by gradient steps."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from crm_online.models.next_item.layout import SPARE, Float32, Int32, Int64

__all__ = ["Embedding", "Reranker", "new_embedding", "new_reranker"]

DIMENSIONS = 32  # of the embedding: 16 cost .001 of HR@20, 64 gain nothing
RECENT_CLICKS = 2**16  # negative examples are drawn from so many newest clicks

FEATURES = 26
HIDDEN = 32

# Where each layer begins in the re-ranker's one row of weights.
BIAS = FEATURES * HIDDEN
OUTPUT = BIAS + HIDDEN
DIRECT = OUTPUT + HIDDEN
WEIGHTS = DIRECT + FEATURES

# Places in `Embedding.clock`.
DRAWN, ENTERED, SEED = range(3)


class Embedding(NamedTuple):
    """Vectors of N items, learned by each click.

    Parameters
    ----------
    inputs, outputs
        float32 (N, 32): of an item that was touched, and as one that may come next.
    squares
        float32 (N, 2): mean squares of the gradients of each, summed up (Adagrad).
    recent
        int32 (65536,): ring of the newest clicks on known items; 0 where one was evicted.
    clock
        int64 (4,): clicks written to the ring, items entered, seed.
    """

    inputs: Float32
    outputs: Float32
    squares: Float32
    recent: Int32
    clock: Int64


class Reranker(NamedTuple):
    """One hidden layer of 32 units beside a direct linear path.

    Parameters
    ----------
    weights
        float32 (922,): matrix (32, 26), biases (32), output weights (32), direct weights (26).
    squares
        float32 (922,): squares of the gradients, summed up and slowly fading (Adagrad).
    clock
        int64 (1,): steps taken.
    averages
        float32 (922,): the weights, averaged over the newest steps: what lists are ranked by.
    """

    weights: Float32
    squares: Float32
    clock: Int64
    averages: Float32


def new_embedding(max_items: int, seed: int) -> Embedding:
    """Make an embedding of no items; memory is taken only as they enter."""
    items = max_items + 1 + SPARE
    clock = np.zeros(4, np.int64)
    clock[SEED] = seed
    return Embedding(
        inputs=np.zeros((items, DIMENSIONS), np.float32),
        outputs=np.zeros((items, DIMENSIONS), np.float32),
        squares=np.zeros((items, 2), np.float32),
        recent=np.zeros(RECENT_CLICKS, np.int32),
        clock=clock,
    )


def new_reranker(seed: int) -> Reranker:
    """Make a re-ranker that has seen nothing: it ranks by `stan`, near to plain neighbours."""
    random = np.random.Generator(np.random.PCG64(seed))
    weights = np.zeros(WEIGHTS, np.float32)
    weights[:BIAS] = random.uniform(-0.35, 0.35, BIAS)
    weights[OUTPUT:DIRECT] = random.uniform(-0.17, 0.17, HIDDEN)
    weights[DIRECT] = 3
    squares, clock = np.zeros(WEIGHTS, np.float32), np.zeros(1, np.int64)
    return Reranker(weights, squares, clock, weights.copy())
