"""BG/NBD and Gamma-Gamma find the parameters of customers drawn from them, and foresee them."""

from __future__ import annotations

import numpy as np
import pytest

from crm_online.evaluation.purchases import Buyers
from crm_online.evaluation.repeat_buying import BgNbd, GammaGamma, fit_bg_nbd, fit_gamma_gamma

TRUTH = BgNbd(0.8, 40.0, 0.9, 3.0)
VALUES = GammaGamma(6.0, 4.0, 15.0)
DAYS, AHEAD = 400.0, 100.0
CUSTOMERS = 6000


def drawn(seed: int = 7) -> tuple[Buyers, np.ndarray]:
    """Draw customers by the story of the model: repeats, recency, age; then purchases ahead."""
    chance = np.random.default_rng(seed)
    age = chance.uniform(50.0, DAYS, CUSTOMERS)
    rates = chance.gamma(TRUTH.r, 1.0 / TRUTH.alpha, CUSTOMERS)
    drops = chance.beta(TRUTH.a, TRUTH.b, CUSTOMERS)
    repeats, recency, ahead = np.zeros((3, CUSTOMERS))
    for n in range(CUSTOMERS):
        at = 0.0
        while True:
            at += chance.exponential(1.0 / rates[n])
            if at > age[n] + AHEAD:
                break
            if at > age[n]:
                ahead[n] += 1
            else:
                repeats[n] += 1
                recency[n] = at
            if chance.random() < drops[n]:
                break
    scale = chance.gamma(VALUES.q, 1.0 / VALUES.gamma, CUSTOMERS)
    bought = repeats + 1
    mean_value = chance.gamma(VALUES.p * bought, 1.0 / (scale * bought))
    return Buyers(repeats, recency, age, mean_value), ahead


BUYERS, BOUGHT = drawn()


def test_the_fit_finds_the_rates_and_the_dropouts() -> None:
    found = fit_bg_nbd(BUYERS)
    assert found.r == pytest.approx(TRUTH.r, rel=0.15)
    assert found.r / found.alpha == pytest.approx(TRUTH.r / TRUTH.alpha, rel=0.1)
    assert found.a / (found.a + found.b) == pytest.approx(0.9 / 3.9, rel=0.15)


def test_expected_purchases_are_those_that_came() -> None:
    expected = TRUTH.expected_purchases(BUYERS, AHEAD)
    assert expected.sum() == pytest.approx(BOUGHT.sum(), rel=0.05)
    for lowest, highest in ((0, 0), (1, 2), (3, 8), (9, 1000)):
        here = (lowest <= BUYERS.repeats) & (BUYERS.repeats <= highest)
        assert expected[here].mean() == pytest.approx(BOUGHT[here].mean(), rel=0.12)


def test_customers_who_bought_very_often_get_finite_numbers() -> None:
    often = Buyers(*(np.array([value]) for value in (1e5, 400.0, 400.0, 20.0)))
    [expected] = TRUTH.expected_purchases(often, AHEAD)
    assert 0.75 * 25_000.0 < expected < 25_000.0  # some will have left


def test_gamma_gamma_finds_the_mean_and_shrinks_towards_it() -> None:
    found = fit_gamma_gamma(BUYERS)
    mean = VALUES.p * VALUES.gamma / (VALUES.q - 1.0)
    assert found.p * found.gamma / (found.q - 1.0) == pytest.approx(mean, rel=0.05)
    once, often = (Buyers(*(np.array([v]) for v in (x, 9.0, 9.0, 300.0))) for x in (0.0, 99.0))
    assert mean < found.expected_value(once)[0] < found.expected_value(often)[0] < 300.0
