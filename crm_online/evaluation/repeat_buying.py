"""BG/NBD and Gamma-Gamma: how often customers will buy, and for how much, from when they did.

No library of these models is both maintained and light, so their likelihoods stand here.

References
----------
Fader, Hardie & Lee (2005), "Counting your customers" the easy way: an alternative to the
Pareto/NBD model, Marketing Science 24(2).
Fader & Hardie (2013), The Gamma-Gamma model of monetary value, brucehardie.com/notes/025.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np

from crm_online.evaluation.gathering import Numbers
from crm_online.evaluation.purchases import Buyers

__all__ = ["BgNbd", "GammaGamma", "fit_bg_nbd", "fit_gamma_gamma"]

LIMIT: Final = 12.0  # of the logarithm of a parameter


class BgNbd(NamedTuple):
    """Buying at a rate that is gamma-distributed, until dropping out at a beta-distributed chance.

    Parameters
    ----------
    r, alpha
        Shape and scale (days) of the rates.
    a, b
        Of the chance to drop out after a purchase.
    """

    r: float
    alpha: float
    a: float
    b: float

    def expected_purchases(self, buyers: Buyers, days: float) -> Numbers:
        """Return the expected number of purchase days ahead (equation 10 of 2005).

        The hypergeometric function is taken by Euler's transformation, which keeps its
        arguments small however often a customer bought.
        """
        from scipy.special import hyp2f1  # noqa: PLC0415 - slow to import

        r, alpha, a, b = self
        x, seen = buyers.repeats, alpha + buyers.age
        z = days / (seen + days)
        with np.errstate(invalid="ignore"):  # beyond all numbers: callers take the mean for it
            series = (1.0 - z) ** (a - 1.0) * hyp2f1(a + b - 1.0 - r, a - 1.0, a + b + x - 1.0, z)
        dropped = np.where(
            x > 0.0,
            a / np.maximum(b + x - 1.0, 1e-12) * (seen / (alpha + buyers.recency)) ** (r + x),
            0.0,
        )
        expected: Numbers = (a + b + x - 1.0) / (a - 1.0) * (1.0 - series) / (1.0 + dropped)
        return expected


class GammaGamma(NamedTuple):
    """Spend per purchase: gamma-distributed, around means whose scale is gamma-distributed.

    Parameters
    ----------
    p, q, gamma
        As the note of 2013 names them; gamma in major units.
    """

    p: float
    q: float
    gamma: float

    def expected_value(self, buyers: Buyers) -> Numbers:
        """Return the expected spend per purchase (equation 5 of 2013)."""
        n = buyers.repeats + 1.0
        expected: Numbers = (
            self.p * (self.gamma + n * buyers.mean_value) / (self.p * n + self.q - 1.0)
        )
        return expected


def fit_bg_nbd(buyers: Buyers) -> BgNbd:
    """Fit by maximum likelihood (equation 6 of 2005).

    Parameters
    ----------
    buyers
        All who bought at least once.
    """
    from scipy.special import gammaln  # noqa: PLC0415 - slow to import

    x, recency, age = buyers.repeats, buyers.recency, buyers.age

    def cost(logs: Numbers) -> float:
        r, alpha, a, b = np.exp(logs)
        alive = -(r + x) * np.log(alpha + age)
        gone = np.where(
            x > 0.0,
            np.log(a) - np.log(np.maximum(b + x - 1.0, 1e-12)) - (r + x) * np.log(alpha + recency),
            -np.inf,
        )
        rates = gammaln(r + x) - gammaln(r) + r * np.log(alpha)
        drops = gammaln(a + b) + gammaln(b + x) - gammaln(b) - gammaln(a + b + x)
        return float(-(rates + drops + np.logaddexp(alive, gone)).mean())

    usual = max(float(age.mean()), 1.0)
    return BgNbd(*np.exp(_minimized(cost, np.log([1.0, usual, 1.0, 2.0]))).tolist())


def fit_gamma_gamma(buyers: Buyers) -> GammaGamma:
    """Fit by maximum likelihood (equation 1a of 2013); q above 1, so that a mean exists.

    Parameters
    ----------
    buyers
        All who bought at least once.
    """
    from scipy.special import gammaln  # noqa: PLC0415 - slow to import

    n, unit = buyers.repeats + 1.0, float(np.median(buyers.mean_value))
    mean = buyers.mean_value / unit

    def cost(logs: Numbers) -> float:
        p, q, gamma = np.exp(logs) + np.array([0.0, 1.0, 0.0])
        likelihood = (
            gammaln(p * n + q)
            - gammaln(p * n)
            - gammaln(q)
            + q * np.log(gamma)
            + (p * n - 1.0) * np.log(mean)
            + p * n * np.log(n)
            - (p * n + q) * np.log(gamma + n * mean)
        )
        return float(-likelihood.mean())

    p, q, gamma = np.exp(_minimized(cost, np.log([2.0, 2.0, 2.0])))
    return GammaGamma(float(p), float(q) + 1.0, float(gamma) * unit)


def _minimized(cost: Callable[[Numbers], float], start: Numbers) -> Numbers:
    from scipy.optimize import minimize  # noqa: PLC0415 - slow to import

    found = minimize(cost, start, method="L-BFGS-B", bounds=[(-LIMIT, LIMIT)] * len(start))
    best: Numbers = found.x
    return best
