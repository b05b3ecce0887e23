"""The generated population is deterministic, in order, and true to what it says of itself."""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from itertools import islice, pairwise
from statistics import fmean
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_online.errors import ConfigurationError
from crm_online.events import CustomerEvent, parse_event
from crm_online.kinds import INTERACTION, KINDS, ORDER
from crm_online.simulation.population import Population
from crm_online.simulation.population_settings import PopulationSettings
from crm_online.simulation.raw import RawEvent

DAY = 86_400.0
MANY = PopulationSettings(customers=1500, days=240.0, seed=11)


@pytest.fixture(scope="module")
def population() -> Population:
    return Population(MANY)


@pytest.fixture(scope="module")
def raw(population: Population) -> list[RawEvent]:
    return list(population.events())


@pytest.fixture(scope="module")
def parsed(raw: list[RawEvent]) -> list[CustomerEvent]:
    return [parse_event(event.value, event.at, 32768, 300.0) for event in raw]


def small(**changes: Any) -> PopulationSettings:
    return PopulationSettings(**({"customers": 30, "days": 40.0} | changes))


def test_equal_seeds_give_equal_bytes_and_others_do_not(raw: list[RawEvent]) -> None:
    assert list(islice(Population(MANY).events(), 20_000)) == raw[:20_000]
    assert list(Population(small(seed=1)).events()) != list(Population(small(seed=2)).events())


def test_asking_for_the_truth_between_events_changes_nothing() -> None:
    population = Population(small())
    disturbed = []
    for event in population.events():
        population.truth(event.customer)
        disturbed.append(event)
    assert disturbed == list(Population(small()).events())


def test_times_are_in_order_and_within_the_history(raw: list[RawEvent]) -> None:
    assert all(one.at <= other.at for one, other in pairwise(raw))
    assert MANY.start <= raw[0].at
    assert raw[-1].at < MANY.end


def test_every_event_is_accepted_as_what_it_says(
    raw: list[RawEvent], parsed: list[CustomerEvent]
) -> None:
    for event, read in zip(raw, parsed, strict=True):
        assert (read.at, read.customer) == (event.at, event.customer)
        assert KINDS[read.kind] != "other"
    ids = [event.message_id for event in parsed]
    assert len(set(ids)) == len(ids)


def test_about_two_thirds_of_events_touch_an_item(parsed: list[CustomerEvent]) -> None:
    share = fmean(event.kind in INTERACTION for event in parsed)
    assert 0.6 < share < 0.73


def test_events_lie_between_first_visit_and_death(
    population: Population, raw: list[RawEvent]
) -> None:
    first: dict[str, float] = {}
    last: dict[str, float] = {}
    for event in raw:
        user = population.truth(event.customer).user_id
        first.setdefault(user, event.at)
        last[user] = event.at
    for user in population.customers():
        truth = population.truth(user)
        assert first[user] == truth.born_at
        if truth.died_at is not None:
            assert last[user] == truth.died_at
            assert not population.alive_at(user, truth.died_at)
            assert population.alive_at(user, truth.died_at - 0.001)
        assert not population.alive_at(user, truth.born_at - 0.001)


def test_orders_follow_their_hidden_rates(
    population: Population, parsed: list[CustomerEvent]
) -> None:
    at = MANY.start + 60 * DAY
    expected, seen = 0.0, 0
    alive = {user for user in population.customers() if population.alive_at(user, at)}
    for event in parsed:
        known = event.kind == ORDER and at < event.at <= at + 50 * DAY
        seen += known and event.customer in alive
    for user in alive:
        truth = population.truth(user)
        leave = truth.dropout[0]
        expected += (1 - math.exp(-truth.orders_per_day * leave * 50)) / leave
    assert seen == pytest.approx(expected, rel=0.1)


def test_spend_is_as_expected_across_the_drift(
    population: Population, parsed: list[CustomerEvent]
) -> None:
    at = MANY.drift_at - 30 * DAY
    spend: defaultdict[str, float] = defaultdict(float)
    for event in parsed:
        if event.kind == ORDER and at < event.at <= at + 60 * DAY:
            spend[event.customer] += event.revenue / 100
    alive = [user for user in population.customers() if population.alive_at(user, at)]
    expected = sum(population.expected_spend(user, at, 60.0) for user in alive)
    assert sum(spend[user] for user in alive) == pytest.approx(expected, rel=0.12)
    dead = next(user for user in population.customers() if not population.alive_at(user, at))
    assert population.expected_spend(dead, at, 60.0) == 0.0


def test_rates_and_dropouts_have_their_distributions(population: Population) -> None:
    truths = [population.truth(user) for user in population.customers()]
    mean_rate = MANY.rate_shape / MANY.rate_scale_days
    assert fmean(truth.orders_per_day for truth in truths) == pytest.approx(mean_rate, rel=0.1)
    leave = MANY.dropout_a / (MANY.dropout_a + MANY.dropout_b)
    service = MANY.complaint_share * MANY.complaint_dropout
    expected = 1 - (1 - leave) * (1 - service)
    assert fmean(truth.dropout[0] for truth in truths) == pytest.approx(expected, rel=0.1)


def test_orders_end_lives_more_often_after_the_drift(
    population: Population, parsed: list[CustomerEvent]
) -> None:
    orders, ends = Counter[bool](), Counter[bool]()
    for event in parsed:
        if event.kind == ORDER:
            after = event.at >= MANY.drift_at
            orders[after] += 1
            ends[after] += population.truth(event.customer).died_at == event.at
    assert ends[True] / orders[True] > 1.25 * ends[False] / orders[False]


def test_taste_and_item_transitions_change_at_the_drift(population: Population) -> None:
    truths = [population.truth(user) for user in population.customers()]
    changed = fmean(truth.favourites[0] != truth.favourites[1] for truth in truths)
    assert changed == pytest.approx(MANY.drift_customer_share, abs=0.08)
    before, after = population.catalogue.successors
    moved = fmean(one != other for one, other in zip(before, after, strict=True))
    assert moved == pytest.approx(MANY.drift_item_share, abs=0.08)


def test_the_next_item_is_learnable_and_drifts(parsed: list[CustomerEvent]) -> None:
    viewed = [event for event in parsed if KINDS[event.kind] == "Product Viewed"]
    days = (0.0, 80.0, 120.0, 160.0)
    hits = {}
    last: dict[str, tuple[float, str]] = {}
    nexts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    results: defaultdict[int, list[bool]] = defaultdict(list)
    for event in viewed:
        item = event.items[0].product_id
        at, before = last.get(event.customer, (0.0, ""))
        last[event.customer] = (event.at, item)
        if event.at - at > 1800:
            continue
        day = (event.at - MANY.start) / DAY
        if day < days[1]:
            nexts[before][item] += 1
        else:
            part = 1 if day < days[2] else 2
            results[part].append(item in {i for i, _ in nexts[before].most_common(5)})
    hits = {part: fmean(found) for part, found in results.items()}
    assert hits[1] > 0.45
    assert hits[2] < hits[1] - 0.1


def test_load_follows_the_hours(raw: list[RawEvent]) -> None:
    hours = Counter(int(event.at // 3600) % 24 for event in raw)
    assert hours[20] > 5 * hours[3]


def test_anonymous_visitors_identify_once_with_both_ids(raw: list[RawEvent]) -> None:
    anonymous = {event.customer for event in raw if event.customer.startswith("a")}
    links = [json.loads(event.value) for event in raw if b'"type":"identify"' in event.value]
    assert len({link["anonymousId"] for link in links}) == len(links) > 50
    last_anonymous = {e.customer: e.at for e in raw if e.customer in anonymous}
    first_known: dict[str, float] = {}
    for event in raw:
        first_known.setdefault(event.customer, event.at)
    for link in links:
        assert link["anonymousId"] in anonymous
        assert first_known[link["userId"]] >= last_anonymous[link["anonymousId"]]
    assert len(anonymous) > len(links)


def test_customers_complain_get_refunds_and_mail(parsed: list[CustomerEvent]) -> None:
    kinds = Counter(KINDS[event.kind] for event in parsed)
    for name in ("Ticket Opened", "Ticket Closed", "Order Refunded", "Email Bounced"):
        assert kinds[name] > 10
    assert kinds["Email Delivered"] > kinds["Email Opened"] > kinds["Email Link Clicked"] > 10
    refunds = [event.revenue for event in parsed if KINDS[event.kind] == "Order Refunded"]
    assert min(refunds) > 0


def test_both_ids_of_a_customer_lead_to_one_truth(population: Population) -> None:
    assert population.truth("a0000003") is population.truth("c0000003")


@pytest.mark.parametrize("customer", ["", "c", "x0000001", "c9999999", "a-1"])
def test_strangers_have_no_truth(population: Population, customer: str) -> None:
    with pytest.raises(ConfigurationError, match="population"):
        population.truth(customer)


@given(
    st.integers(0, 2**40),
    st.integers(1, 40),
    st.floats(0, 0.9),
    st.floats(1, 6),
    st.sampled_from([4, 7, 60]),
)
@settings(max_examples=40, deadline=None)
def test_any_population_is_consistent(
    seed: int, customers: int, again: float, visits: float, items: int
) -> None:
    population = Population(
        small(
            seed=seed,
            customers=customers,
            another_view=again,
            visits_per_order=visits,
            items=items,
            categories=2,
        )
    )
    last = -math.inf
    for event in islice(population.events(), 3_000):
        parse_event(event.value, event.at, 32768, 300.0)
        died_at = population.truth(event.customer).died_at
        assert event.at >= last
        assert died_at is None or event.at <= died_at
        last = event.at


@pytest.mark.parametrize(
    "changes",
    [
        {"customers": 0},
        {"days": -1.0},
        {"anonymous_share": 1.5},
        {"another_view": 1.0},
        {"visits_per_order": 0.5},
        {"items": 10, "categories": 6},
        {"items": 2, "categories": 1},
        {"rate_shape": math.nan},
    ],
)
def test_senseless_parameters_are_refused(changes: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError):
        small(**changes)
