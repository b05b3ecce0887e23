"""Figures equal scikit-learn's and scipy's, or what a pencil says; none that does not exist."""

from __future__ import annotations

import math
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as sk

from crm_online.evaluation.metrics import (
    calibration_curve,
    churn_figures,
    lift,
    top_share,
    value_figures,
)
from crm_online.monitoring.figures import calibration_error, spearman

_chances = st.integers(0, 100).map(lambda percent: percent / 100.0)
_rows = st.lists(st.tuples(st.booleans(), _chances), min_size=2, max_size=60)
_amounts = st.integers(0, 500).map(float)
_spends = st.lists(st.tuples(_amounts, _amounts), min_size=1, max_size=60)


def close(found: float | None, wanted: float) -> bool:
    return found is not None and math.isclose(found, wanted, rel_tol=1e-9, abs_tol=1e-12)


@given(_rows.filter(lambda rows: len({label for label, _ in rows}) == 2))
def test_churn_figures_are_those_of_scikit_learn(rows: list[tuple[bool, float]]) -> None:
    labels, chances = map(np.array, zip(*rows, strict=True))
    found = churn_figures(labels, chances)
    assert close(found["auc"], sk.roc_auc_score(labels, chances))
    assert close(found["pr_auc"], sk.average_precision_score(labels, chances))
    assert close(found["brier"], sk.brier_score_loss(labels, chances))
    inside = np.clip(chances, 1e-15, 1.0 - 1e-15)
    assert close(found["log_loss"], sk.log_loss(labels, inside))


@given(_rows)
def test_calibration_error_is_the_weighed_gap_of_ten_bins(rows: list[tuple[bool, float]]) -> None:
    wanted = 0.0
    for tenth in range(10):
        inside = [(y, p) for y, p in rows if min(int(p * 10), 9) == tenth]
        wanted += abs(sum(p for _, p in inside) - sum(y for y, _ in inside))
    labels, chances = zip(*rows, strict=True)
    assert close(calibration_error(labels, chances), wanted / len(rows))


@given(_spends)
def test_value_figures_are_those_of_scipy_and_a_pencil(rows: list[tuple[float, float]]) -> None:
    spent, said = map(np.array, zip(*rows, strict=True))
    found = value_figures(spent, said)
    assert close(found["mae"], sk.mean_absolute_error(spent, said))
    if np.ptp(spent) and np.ptp(said):
        assert close(found["spearman"], stats.spearmanr(spent, said).statistic)
    else:
        assert found["spearman"] is None
    if spent.sum():
        assert close(found["sum_ratio"], said.sum() / spent.sum())
    else:
        assert found["sum_ratio"] is found["top_decile_share"] is None


@given(_rows.filter(lambda rows: any(label for label, _ in rows)), st.randoms())
def test_order_of_ties_decides_nothing(rows: list[tuple[bool, float]], chance: Random) -> None:
    shuffled = rows.copy()
    chance.shuffle(shuffled)
    one, other = (
        lift([label for label, _ in each], [said for _, said in each]) for each in (rows, shuffled)
    )
    assert one is not None
    assert close(other, one)


def test_the_top_tenth_is_counted_by_hand() -> None:
    spent = [90.0, 10.0, *([0.0] * 17), 100.0]
    said = [5.0, 9.0, *([1.0] * 17), 1.0]
    assert top_share(spent, said) == pytest.approx(100.0 / 200.0)
    churned = [True, True, *([False] * 16), True, True]
    assert lift(churned, said) == pytest.approx((2 / 2) / (4 / 20))


def test_a_perfect_oracle_has_perfect_figures() -> None:
    found = churn_figures([True, False] * 50, [1.0, 0.0] * 50)
    assert found["auc"] == found["pr_auc"] == 1.0
    assert found["brier"] == found["ece"] == 0.0
    assert found["lift_10"] == pytest.approx(2.0)


@pytest.mark.parametrize("churned", [True, False])
def test_figures_of_one_class_do_not_exist(churned: bool) -> None:
    found = churn_figures([churned] * 9, [0.5] * 9)
    assert found["auc"] is found["pr_auc"] is None
    assert found["log_loss"] == pytest.approx(math.log(2.0))
    assert churn_figures([], []) == dict.fromkeys(found)
    assert value_figures([], []) == dict.fromkeys(value_figures([1.0], [1.0]))


def test_constant_predictions_rank_nothing() -> None:
    assert spearman([1.0, 2.0, 3.0], [1.0, 1.0, 1.0]) is None


def test_a_calibration_curve_has_bins_of_equal_size() -> None:
    chances, shares = calibration_curve([False, False, True, True], [0.1, 0.2, 0.6, 0.8], bins=2)
    assert chances.tolist() == pytest.approx([0.15, 0.7])
    assert shares.tolist() == [0.0, 1.0]
