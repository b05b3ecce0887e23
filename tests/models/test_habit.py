"""Habit: who comes more often and pays more is worth more, silence tells, nothing is infinite."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import betaln, gammaln, logsumexp

from crm_online.models.habit import ALPHA, NAMES, A, B, Habit, R
from crm_online.models.spend import ExpectedSpend

facts = st.fixed_dictionaries(
    dict.fromkeys(NAMES, st.floats(0.0, 1e6, width=32) | st.sampled_from([1e30, -2.0]))
)


def customer(occasions: float, age: float, silent: float, usual: float) -> dict[str, float]:
    return dict(zip(NAMES, np.log1p([occasions, age, silent, usual]).tolist(), strict=True))


def spend(habit: Habit, x: dict[str, float]) -> float:
    found = habit.predict_one(x)
    assert found is not None
    return found


def taught() -> Habit:
    habit = Habit()
    for usual in (0.0, 20.0, 40.0):
        habit.learn_one(customer(3, 60, 10, usual))
    return habit


@pytest.mark.parametrize(
    ("more", "less"),
    [
        (customer(8, 100, 5, 30), customer(4, 100, 5, 30)),  # comes more often
        (customer(8, 100, 5, 60), customer(8, 100, 5, 30)),  # pays more
        (customer(8, 100, 5, 30), customer(8, 100, 60, 30)),  # was here lately
        (customer(2, 100, 60, 30), customer(40, 100, 60, 30)),  # silence of a frequent one is leave
        (customer(1, 10, 10, 30), customer(1, 300, 300, 30)),  # came once, longer ago
    ],
)
def test_the_order_of_customers_is_that_of_their_habits(
    more: dict[str, float], less: dict[str, float]
) -> None:
    assert spend(taught(), more) > spend(taught(), less) > 0.0


def test_the_chance_to_have_left_is_that_of_the_likelihood_of_bg_nbd() -> None:
    """By both ways to have the same history: still here, or gone right after the last visit."""
    repeats, age, silent = 4.0, 100.0, 30.0
    both = gammaln(R + repeats) - gammaln(R) + R * math.log(ALPHA)
    here = betaln(A, B + repeats) - betaln(A, B) + both - (R + repeats) * math.log(ALPHA + age)
    gone = betaln(A + 1, B + repeats - 1) - betaln(A, B) + both
    gone -= (R + repeats) * math.log(ALPHA + age - silent)
    alive = math.exp(here - logsumexp([here, gone]))
    rate = (R + repeats) / (ALPHA + age)
    habit = taught()
    once, found = customer(0, 0, 0, 0), customer(repeats + 1, age, silent, 30.0)
    order = spend(habit, once) / (R / ALPHA)  # of who has not bought yet
    assert order == pytest.approx(30.0)  # the mean of those who have
    assert spend(habit, found) == pytest.approx(rate * alive * 30.0)


@given(st.lists(facts, min_size=1, max_size=8))
def test_frozen_equals_one_by_one_and_is_finite(asked: list[dict[str, float]]) -> None:
    habit = taught()
    names = ("basket", *reversed(NAMES))
    frozen = habit.freeze(names)
    assert frozen is not None
    found = frozen.value_many(np.array([[0.0, *(x[name] for name in names[1:])] for x in asked]))
    assert np.isfinite(found).all()
    assert (found >= 0.0).all()
    np.testing.assert_allclose(found, [spend(habit, x) for x in asked], rtol=1e-12)


def test_without_its_facts_it_has_no_opinion() -> None:
    habit = taught()
    assert habit.predict_one({"basket": 1.0}) is None
    assert habit.freeze(["basket", *NAMES[:-1]]) is None


def regulars(n: int, seed: int) -> list[tuple[dict[str, Any], float]]:
    """Draw customers whose spend is their habit, give or take."""
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(n):
        age, usual = rng.uniform(30, 300), float(rng.lognormal(3, 0.7))
        visits = 1 + rng.poisson(rng.gamma(0.5, age / 40))
        x = customer(visits, age, rng.uniform(0, age / visits), usual)
        spent = usual * rng.poisson(60 * (visits - 0.7) / (age + 31))
        drawn.append((x, float(spent)))
    return drawn


def test_a_second_opinion_helps_while_little_is_learned() -> None:
    errors = {True: 0.0, False: 0.0}
    for habit in errors:
        for seed in range(6):
            model = ExpectedSpend(habit=habit)
            for number, (x, spent) in enumerate(regulars(200, seed)):
                if number >= 30:
                    errors[habit] += abs(model.predict_one(x) - spent)
                model.learn_one(x, spent)
    assert errors[True] < 0.9 * errors[False]


def test_visits_without_an_order_are_divided_out() -> None:
    """Habit takes each visit for an order; where one in ten is, sums come out right even so."""
    model, said, true = ExpectedSpend(), 0.0, 0.0
    for number, (x, spent) in enumerate(regulars(2000, 3)):
        if number >= 500:
            said, true = said + model.predict_one(x), true + spent / 10.0
        model.learn_one(x, spent / 10.0)

    assert said == pytest.approx(true, rel=0.25)


def test_models_without_a_second_opinion_are_taken_up_as_they_were() -> None:
    model = ExpectedSpend(habit=False)
    for x, spent in regulars(200, 6):
        model.learn_one(x, spent)
    (x, _), *_ = regulars(1, 7)
    state = dict(model.__dict__)
    for new in ("habit", "_habit", "_expected_by_habit"):
        del state[new]
    old = ExpectedSpend.__new__(ExpectedSpend)
    old.__setstate__(state)
    assert old.predict_one(x) == model.predict_one(x)
    old.learn_one(x, 5.0)
    assert math.isfinite(old.predict_one(x))
