"""Kernels: what the re-ranker sees of each candidate on the short list."""

from __future__ import annotations

import math

import numpy as np

from crm_online.models.compiling import compiled
from crm_online.models.next_item.embedding import session_vector
from crm_online.models.next_item.layout import (
    CLICKS,
    COUNT,
    DISTANCE,
    EVIDENCE_SUMS,
    FIRST_SEEN,
    LAST_SEEN,
    NEXT,
    STAN,
    TREND,
    Float32,
    Float64,
    Index,
    Int32,
    Scratch,
)
from crm_online.models.next_item.logarithms import take_logarithms
from crm_online.models.next_item.trending import MEMORY
from crm_online.models.next_item.weights import DIMENSIONS, Embedding

__all__ = ["describe_shortlist"]

# Columns, behind the logarithms of the shares of the seven evidence sums.
ITEM_COUNT, ITEM_TREND, SINCE_LAST, SINCE_FIRST = range(7, 11)
IS_LAST, IS_BEFORE, IS_OLDER, CLOSENESS = range(11, 15)
FITS_SESSION, FITS_LAST, ALONG_SESSION, ALONG_LAST, LIKE_LAST = range(15, 20)
CONTEXT = 20
CONTEXTS = 6
LOGARITHMS = 11  # leading columns that are logarithms …
# … and what makes each of them about as large as one.
SCALES = np.array([0.3] * 8 + [1.0, 0.1, 0.1], np.float32)
TOLERANCE = np.float32(0.01)  # added to shares
CLOSE = np.float32(0.2)  # scale of dot products
LEAST = np.float32(1e-6)
BEFORE_LAST = 2  # distance of the click before the last


@compiled
def _describe_items(
    size: int, items: Int32, statistics: Float64, now: float, features: Float32
) -> None:
    """Fill in popularity and age, as what their logarithms are taken of."""
    for entry in range(size):
        item = items[entry]
        features[ITEM_COUNT, entry] = 1 + statistics[item, COUNT]
        trend = statistics[item, TREND]
        weight = math.exp(np.float32(trend - now / MEMORY)) if trend != 0 else np.float32(0)
        features[ITEM_TREND, entry] = np.float32(1) + weight
        features[SINCE_LAST, entry] = 1 + now - statistics[item, LAST_SEEN]
        features[SINCE_FIRST, entry] = 1 + now - statistics[item, FIRST_SEEN]


@compiled
def _describe_vectors(
    size: int,
    items: Int32,
    last: int,
    vector: Float32,
    inputs: Float32,
    outputs: Float32,
    features: Float32,
) -> None:
    """Fill in how the items' vectors lie to those of the session and of its last item."""
    around, before = LEAST, LEAST
    for place in range(DIMENSIONS):
        around += vector[place] * vector[place]
        before += inputs[last, place] * inputs[last, place]
    around, before = np.float32(1) / np.sqrt(around), np.float32(1) / np.sqrt(before)
    for entry in range(size):
        item = items[entry]
        to_session, to_last, alike = np.float32(0), np.float32(0), np.float32(0)
        outward, inward = LEAST, LEAST
        for place in range(DIMENSIONS):
            output, own = outputs[item, place], inputs[item, place]
            to_session += vector[place] * output
            to_last += inputs[last, place] * output
            alike += inputs[last, place] * own
            outward += output * output
            inward += own * own
        outward = np.float32(1) / np.sqrt(outward)
        features[FITS_SESSION, entry] = CLOSE * to_session
        features[FITS_LAST, entry] = CLOSE * to_last
        features[ALONG_SESSION, entry] = to_session * outward * around
        features[ALONG_LAST, entry] = to_last * outward * before
        features[LIKE_LAST, entry] = alike * before / np.sqrt(inward)


@compiled
def _describe_evidence(
    size: int, shortlist: Int32, rows: Float32, largest: Float32, features: Float32
) -> None:
    """Fill in shares of the sums, and whether and where the open session holds the item itself."""
    for entry in range(size):
        place = shortlist[entry]
        for column in range(EVIDENCE_SUMS):
            features[column, entry] = rows[place, column] / largest[column] + TOLERANCE
        distance = rows[place, DISTANCE]
        features[IS_LAST, entry] = distance == 1
        features[IS_BEFORE, entry] = distance == BEFORE_LAST
        features[IS_OLDER, entry] = distance > BEFORE_LAST
        features[CLOSENESS, entry] = np.float32(1) / distance if distance > 0 else np.float32(0)


@compiled
def _describe_query(session: Int32, found: int, index: Index, scratch: Scratch) -> Float32:
    """Return what is equal for all candidates; it acts through the hidden units only."""
    distinct = 0
    for entry in range(found):
        distinct += scratch.rows[entry, DISTANCE] > 0
    context = np.empty(CONTEXTS, np.float32)
    context[0] = 0.3 * math.log1p(index.statistics[session[-1], COUNT])
    context[1] = 0.5 * math.log(len(session))
    context[2] = 0.3 * math.log1p(scratch.largest[NEXT])
    context[3] = 0.3 * math.log(TOLERANCE + scratch.largest[STAN])
    context[4] = distinct / len(session)
    context[5] = 0.2 * math.log1p(found)
    return context


@compiled
def describe_shortlist(
    session: Int32, found: int, size: int, index: Index, embedding: Embedding, scratch: Scratch
) -> None:
    """Fill the features of the candidates on the short list.

    Parameters
    ----------
    session
        Item numbers of the open session, oldest first; at least one.
    found, size
        Candidates in all, and on the short list.
    index, embedding
        Read only.
    scratch
        `features` is filled from `rows` and `largest`; `items` with the item numbers.
    """
    features, items, vector = scratch.features, scratch.items, scratch.work[0]
    for entry in range(size):
        items[entry] = scratch.candidates[scratch.shortlist[entry]]
    now = float(index.clock[CLICKS])
    _describe_evidence(size, scratch.shortlist, scratch.rows, scratch.largest, features)
    _describe_items(size, items, index.statistics, now, features)
    take_logarithms(LOGARITHMS, size, features, scratch.feature_bits)
    for column in range(LOGARITHMS):
        for entry in range(size):
            features[column, entry] *= SCALES[column]
    session_vector(session, embedding.inputs, vector)
    _describe_vectors(
        size, items, session[-1], vector, embedding.inputs, embedding.outputs, features
    )
    context = _describe_query(session, found, index, scratch)
    for column in range(CONTEXTS):
        for entry in range(size):
            features[CONTEXT + column, entry] = context[column]
