"""Evidence by betting: rarely fooled however often one looks, and won where there is something."""

from __future__ import annotations

import random
from math import log

import pytest

from crm_online.models.evidence import FIRST_ROUND, Evidence

RUNS, LOOKS, RATE = 150, 2_500, 0.05


def fooled(seed: int, *, spread: float, skew: float) -> bool:
    """Look after each of many outcomes of two that are equal on average."""
    rng, evidence = random.Random(seed), Evidence(RATE)
    for _ in range(LOOKS):
        # A gain of `spread` with some chance, and a loss that makes up for it exactly.
        evidence.update(spread if rng.random() < skew else -spread * skew / (1.0 - skew))
        if evidence.convincing:
            return True
    return False


@pytest.mark.parametrize(("spread", "skew"), [(0.05, 0.5), (0.9, 0.5), (0.1, 0.8)])
def test_equals_convince_as_rarely_as_promised_however_often_one_looks(
    spread: float, skew: float
) -> None:
    share = sum(fooled(seed, spread=spread, skew=skew) for seed in range(RUNS)) / RUNS
    assert share <= RATE


def test_a_looser_rule_would_be_fooled() -> None:
    """The bound is no accident of data that fool nobody."""
    lucky = 0
    for seed in range(40):
        rng, total = random.Random(seed), 0.0
        for n in range(1, LOOKS):
            total += 0.05 if rng.random() < 0.5 else -0.05
            if n > 100 and total > 1.645 * 0.05 * n**0.5:  # a t-test at every look
                lucky += 1
                break
    assert lucky / 40 > 2 * RATE


def test_a_better_one_convinces_soon() -> None:
    rng, evidence = random.Random(3), Evidence(0.01)
    needed = 0
    while not evidence.convincing:
        evidence.update(0.02 + rng.uniform(-0.2, 0.2))
        needed += 1
    assert needed < 2_000


def test_who_was_worse_for_long_can_win_in_a_later_round() -> None:
    evidence = Evidence(0.01)
    for _ in range(7 * FIRST_ROUND):
        evidence.update(-0.1)
    assert (evidence.round, evidence.convincing) == (2, False)
    looks = 0
    while not evidence.convincing:
        evidence.update(0.05)
        looks += 1
    assert evidence.round == 3
    assert looks < 400


def test_rounds_spend_no_more_than_the_error_rate() -> None:
    evidence, spent = Evidence(0.01), 0.0
    for number in range(2_000):
        evidence.round = number
        spent += 2.718281828459045**-evidence.log_needed
    assert spent <= 0.01


def test_capital_is_the_mean_over_bets() -> None:
    evidence = Evidence(0.01)
    assert evidence.log_capital == pytest.approx(0.0)
    evidence.update(1.0)
    assert evidence.log_capital == pytest.approx(log(1.0 + (0.9 + 1.0 - 2.0**-10) / 11))
