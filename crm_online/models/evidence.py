"""Evidence that a challenger is better than the champion, which may be looked at at any time."""

from __future__ import annotations

from math import exp, log, log1p
from typing import Final

__all__ = ["FIRST_ROUND", "Evidence"]

BETS: Final = (0.9, *(2.0**-k for k in range(1, 11)))
FIRST_ROUND: Final = 1_000


class Evidence:
    """An e-process over differences in loss: a gambler's capital who bets on the challenger.

    The gambler cannot expect to win as long as the challenger is no better on average: each of
    several fixed bets λ makes the capital ∏(1 + λd), and their mean is what counts. By Ville's
    inequality such capital ever reaches 1/a with a chance of a at most, so looking after
    every outcome costs nothing. Rounds, each twice as long as the one before, let a challenger
    win that has become better lately; round r may spend a / ((r + 1)(r + 2)), in sum a.

    Parameters
    ----------
    error_rate
        The a above: the highest chance that a challenger that is no better ever convinces.

    References
    ----------
    - Choe & Ramdas (2024), Comparing sequential forecasters, Operations Research 72(4): the null
      hypothesis "no better on average so far", and e-processes against it.
    - Waudby-Smith & Ramdas (2024), Estimating means of bounded random variables by betting,
      Journal of the Royal Statistical Society B 86(1): the capital process and mixtures of bets.
    - Howard, Ramdas, McAuliffe & Sekhon (2021), Time-uniform, nonparametric, nonasymptotic
      confidence sequences, Annals of Statistics 49(2): Ville's inequality in this use.

    Examples
    --------
    >>> evidence = Evidence(error_rate=0.01)
    >>> for _ in range(300):
    ...     evidence.update(0.05)
    >>> evidence.convincing
    True
    """

    def __init__(self, error_rate: float) -> None:
        self.error_rate = error_rate
        self.round = 0
        self.compared = 0  # in this round
        self._capital = [0.0] * len(BETS)  # logarithms

    def update(self, difference: float) -> None:
        """Take one outcome.

        Parameters
        ----------
        difference
            Loss of the champion less that of the challenger, between -1 and 1: above zero
            speaks for the challenger. What it is divided by must be known before the outcome.
        """
        if self.compared >= self.length:
            self.round += 1
            self.compared = 0
            self._capital = [0.0] * len(BETS)
        self.compared += 1
        self._capital = [
            capital + log1p(bet * difference)
            for bet, capital in zip(BETS, self._capital, strict=True)
        ]

    @property
    def length(self) -> int:
        """How many comparisons make up this round."""
        return FIRST_ROUND << self.round

    @property
    def log_capital(self) -> float:
        """Natural logarithm of the mean capital over all bets."""
        highest = max(self._capital)
        mean = sum(exp(capital - highest) for capital in self._capital) / len(BETS)
        return highest + log(mean)

    @property
    def log_needed(self) -> float:
        """Natural logarithm of the capital that convinces in this round."""
        return log((self.round + 1) * (self.round + 2) / self.error_rate)

    @property
    def convincing(self) -> bool:
        """Whether the challenger is better beyond doubt."""
        needed = self.log_needed
        return max(self._capital) >= needed and self.log_capital >= needed
