"""Kernels: scores of the shortlist by a small network, and its learning from the click.

References
----------
Cao et al., Learning to rank: from pairwise approach to listwise approach (ListNet), ICML 2007.
Duchi et al., Adaptive subgradient methods (Adagrad), JMLR 12 (2011).
Polyak, Juditsky, Acceleration of stochastic approximation by averaging, SIAM J. Control and
Optimization 30(4), 1992.
"""

from __future__ import annotations

import math

import numpy as np

from crm_online.models.compiling import compiled
from crm_online.models.next_item.layout import Float32
from crm_online.models.next_item.weights import (
    BIAS,
    DIRECT,
    FEATURES,
    HIDDEN,
    OUTPUT,
    WEIGHTS,
    Reranker,
)

__all__ = ["estimate_chances", "learn_choice", "score_shortlist"]

LEAK = np.float32(0.1)
RATE = np.float32(0.05)
# Far above usual: with 1e-6 features that are the same for all candidates drift without bound.
LEAST = np.float32(1e-2)
NEWEST = 1e-3  # share of the newest step in the averages, once there were as many
# Squares of some 100,000 steps count: the large ones of a young index are forgotten, and steps
# never become too small to follow a change.
KEPT = np.float32(1.0 - 1e-5)


@compiled
def score_shortlist(
    size: int, weights: Float32, features: Float32, hidden: Float32, scores: Float32
) -> None:
    """Score candidates: direct · x + output · leaky(matrix x + bias).

    Loops run along the candidates, where all are alike.

    Parameters
    ----------
    size
        Candidates.
    weights
        Of the re-ranker.
    features
        float32 (26, n).
    hidden
        float32 (32, n): filled with the activations of the hidden units.
    scores
        float32 (n,): filled.
    """
    scores[:size] = 0
    for feature in range(FEATURES):
        weight = weights[DIRECT + feature]
        for entry in range(size):
            scores[entry] += weight * features[feature, entry]
    for unit in range(HIDDEN):
        bias, output = weights[BIAS + unit], weights[OUTPUT + unit]
        hidden[unit, :size] = bias
        for feature in range(0, FEATURES, 2):
            one = weights[unit * FEATURES + feature]
            other = weights[unit * FEATURES + feature + 1]
            for entry in range(size):
                hidden[unit, entry] += (
                    one * features[feature, entry] + other * features[feature + 1, entry]
                )
        for entry in range(size):
            value = hidden[unit, entry]
            value = max(value, LEAK * value)
            hidden[unit, entry] = value
            scores[entry] += output * value


@compiled
def estimate_chances(size: int, scores: Float32) -> None:
    """Turn scores into shares of one (softmax), in place."""
    largest = scores[0]
    for entry in range(size):
        largest = max(largest, scores[entry])
    total = np.float32(0)
    for entry in range(size):
        scores[entry] = math.exp(scores[entry] - largest)
        total += scores[entry]
    for entry in range(size):
        scores[entry] /= total


@compiled
def _sum_gradient(
    size: int,
    chosen: int,
    weights: Float32,
    features: Float32,
    hidden: Float32,
    chances: Float32,
    turned: Float32,
    gradient: Float32,
) -> None:
    """Sum the gradient of -log(chance of what was chosen) over all candidates.

    Loops run along the features: sums over candidates could not be vectorised in their order.
    """
    chances[chosen] -= np.float32(1)  # from here on: the error of each
    for entry in range(size):
        for feature in range(FEATURES):
            turned[entry, feature] = features[feature, entry]
    gradient[:] = 0
    direct = gradient[DIRECT:]
    for entry in range(size):
        error = chances[entry]
        for feature in range(FEATURES):
            direct[feature] += error * turned[entry, feature]
    for unit in range(HIDDEN):
        output, row = weights[OUTPUT + unit], gradient[unit * FEATURES :]
        to_output, to_bias = np.float32(0), np.float32(0)
        for entry in range(size):
            value, slope = hidden[unit, entry], output * chances[entry]
            to_output += chances[entry] * value
            slope = slope if value > 0 else LEAK * slope
            to_bias += slope
            for feature in range(FEATURES):
                row[feature] += slope * turned[entry, feature]
        gradient[OUTPUT + unit], gradient[BIAS + unit] = to_output, to_bias


@compiled
def learn_choice(
    size: int,
    chosen: int,
    reranker: Reranker,
    features: Float32,
    hidden: Float32,
    chances: Float32,
    turned: Float32,
    gradient: Float32,
) -> None:
    """Take one step of a fading Adagrad on -log(chance of what was chosen).

    Parameters
    ----------
    size
        Candidates; none may be left out, however small its share of the gradient.
    chosen
        Which of them it was.
    reranker
        Changed in place.
    features, hidden, chances
        From the prediction; the last is used up.
    turned, gradient
        float32 (n, 32) and (922,): work space.
    """
    weights, squares = reranker.weights, reranker.squares
    _sum_gradient(size, chosen, weights, features, hidden, chances, turned, gradient)
    for place in range(WEIGHTS):
        squares[place] = KEPT * squares[place] + gradient[place] * gradient[place]
        weights[place] -= RATE * gradient[place] / np.sqrt(squares[place] + LEAST)
    reranker.clock[0] += 1
    share = np.float32(max(NEWEST, 1 / reranker.clock[0]))
    for place in range(WEIGHTS):
        reranker.averages[place] += share * (weights[place] - reranker.averages[place])
