"""Examples that models learn from: seeded, float32 as customers' features are."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

__all__ = ["FEATURES", "examples", "rounding", "rows_of", "shop", "taught_examples"]

FEATURES = ("recency", "occasions", "age", "spend_90", "single")

floats = st.floats(-1e6, 1e6, width=32) | st.sampled_from([0.0, 1.0, 1e-30, 1e30, -7.5])
examples = st.fixed_dictionaries(dict.fromkeys(FEATURES, floats))
taught_examples = st.lists(
    st.tuples(examples, st.booleans(), st.floats(0, 1e5, width=32)), max_size=60
)


def rows_of(xs: list[dict[str, float]]) -> NDArray[np.float64]:
    """Write examples as rows."""
    return np.array([[x[name] for name in FEATURES] for x in xs], np.float64).reshape(
        -1, len(FEATURES)
    )


def rounding(model: Any, rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bound what the order of a sum can change where huge shares cancel out."""
    bound: NDArray[np.float64] = 1e-14 * np.abs(model.parts_many(rows)).sum(axis=1)
    return np.minimum(bound, 1e6)


def shop(n: int, seed: int = 7) -> list[tuple[dict[str, float], bool, float]]:
    """Draw customers: features, whether they churn, what they spend."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n, len(FEATURES))).astype(np.float32).astype(np.float64)
    churned = rng.random(n) < 1 / (1 + np.exp(-1.5 * rows[:, 0] + rows[:, 1]))
    spend = np.where(churned, 0.0, np.exp(3.0 + 0.5 * rows[:, 3] + rng.normal(size=n)))
    xs: list[Any] = [dict(zip(FEATURES, row, strict=True)) for row in rows.tolist()]
    return list(zip(xs, churned.tolist(), spend.tolist(), strict=True))
