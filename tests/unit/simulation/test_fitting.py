"""A population fitted to the events of another has its parameters."""

from __future__ import annotations

from typing import Any

import pytest

from crm_online.errors import ConfigurationError
from crm_online.events import parse_event
from crm_online.simulation.fitting import Likeness
from crm_online.simulation.population import Population
from crm_online.simulation.population_settings import PopulationSettings
from tests import builders

DAY = 86_400.0
GIVEN = PopulationSettings(
    customers=500,
    days=300.0,
    drift_day=300.0,
    rate_shape=3.0,
    rate_scale_days=40.0,
    dropout_b=12.0,
    visits_per_order=2.5,
    another_view=0.6,
    add_in_orders=0.5,
    add_in_visits=0.02,
    popularity_exponent=0.6,
    initial_share=0.2,
    anonymous_share=0.6,
    items=300,
    categories=8,
    price_log_mean=4.0,
    complaint_share=0.1,
    emails_per_day=0.3,
    subscriber_share=0.3,
)


def liken(population: Population) -> Likeness:
    likeness = Likeness()
    for raw in population.events():
        likeness.see(parse_event(raw.value, raw.at, 32768, 300.0))
    return likeness


@pytest.fixture(scope="module")
def likeness() -> Likeness:
    return liken(Population(GIVEN))


@pytest.fixture(scope="module")
def fitted(likeness: Likeness) -> PopulationSettings:
    return likeness.settings(seed=7)


def test_sizes_are_those_of_the_history(fitted: PopulationSettings) -> None:
    assert (fitted.customers, fitted.start) == (GIVEN.customers, GIVEN.start)
    assert (fitted.items, fitted.categories) == (GIVEN.items, GIVEN.categories)
    assert fitted.days == pytest.approx(GIVEN.days, abs=1.0)


@pytest.mark.parametrize(
    ("name", "within"),
    [
        ("initial_share", 0.06),
        ("anonymous_share", 0.06),
        ("visits_per_order", 0.7),
        ("another_view", 0.03),
        ("add_in_orders", 0.05),
        ("add_in_visits", 0.01),
        ("popularity_exponent", 0.2),
        ("complaint_share", 0.04),
        ("emails_per_day", 0.05),
        ("subscriber_share", 0.08),
        ("price_log_mean", 0.8),  # a category's prices differ by as much
    ],
)
def test_shares_and_means_come_back(fitted: PopulationSettings, name: str, within: float) -> None:
    assert getattr(fitted, name) == pytest.approx(getattr(GIVEN, name), abs=within)


def test_rates_of_orders_and_of_leaving_come_back(fitted: PopulationSettings) -> None:
    given, found = (each.rate_shape / each.rate_scale_days for each in (GIVEN, fitted))
    assert found == pytest.approx(given, rel=0.15)
    given, found = (each.dropout_a / (each.dropout_a + each.dropout_b) for each in (GIVEN, fitted))
    assert found == pytest.approx(given, abs=0.05)


def test_the_week_comes_back(likeness: Likeness) -> None:
    season, monday = likeness.season(), GIVEN.start
    busy = season.elapsed(monday + 20 * 3600, monday + 21 * 3600)
    quiet = season.elapsed(monday + 3 * 3600, monday + 4 * 3600)
    assert busy > 5 * quiet


def test_a_likeness_has_as_many_orders_and_none_of_the_customers(
    fitted: PopulationSettings,
) -> None:
    counts = []
    for settings in (GIVEN, fitted):
        events = list(Population(settings).events())
        counts.append(sum(b"Order Completed" in event.value for event in events))
    assert counts[1] == pytest.approx(counts[0], rel=0.25)


def test_size_and_length_may_be_others(likeness: Likeness) -> None:
    larger = likeness.settings(seed=1, customers=7, days=50.0)
    assert (larger.customers, larger.days, larger.drift_day) == (7, 50.0, 50.0)


def test_of_orders_alone_lines_are_what_was_viewed() -> None:
    likeness = Likeness()
    for day in range(40):
        for who in range(30):
            at = builders.START + (day + who / 30) * DAY * (1 + who % 5)
            lines = [builders.product(f"p{n}", 5) for n in range(4)]
            raw = builders.order_completed(*lines, user=f"u{who}", at=at)
            likeness.see(parse_event(raw, at, 32768, 300.0))
    found = likeness.settings(seed=1)
    assert (found.customers, found.visits_per_order, found.add_in_orders) == (30, 1.0, 1.0)
    assert found.another_view == pytest.approx(0.75)


@pytest.mark.parametrize("moments", [[], [0.0], [0.0, 3600.0]])
def test_a_history_of_less_than_a_day_is_refused(moments: list[float]) -> None:
    likeness = Likeness()
    for moment in moments:
        raw: Any = builders.page("ann", at=builders.START + moment)
        likeness.see(parse_event(raw, builders.START + moment, 32768, 300.0))
    with pytest.raises(ConfigurationError, match="a day or more"):
        likeness.settings(seed=1)
