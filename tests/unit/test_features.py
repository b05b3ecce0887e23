"""Features: finite whatever happened, read from bytes of the first version, said in words."""

from __future__ import annotations

import struct
from math import exp, log1p
from typing import Any

import numpy as np
import pytest

from crm_online.customers.features import FEATURES, TEXTS, describe, facts, features_many
from crm_online.customers.predictions import pack_numbers, unpack_numbers
from crm_online.customers.state import DAY, CustomerState, Prediction, Rules, apply_event
from crm_online.customers.store import decode_state, encode_state
from crm_online.events import CustomerEvent
from crm_online.items import Item
from crm_online.kinds import ACTIVITY, KIND, ORDER, REFUND
from crm_online.money import Money

RULES = Rules(ACTIVITY, churn_on_orders=False, session_gap=1800.0, money=Money("EUR"))
START = 1_700_000_000.0
KNOWN_TO_FIRST = 19


def happened(kind: int, day: float, revenue: int = 0, quantity: int = 1) -> CustomerEvent:
    items = (Item("p-1", quantity=quantity),) if kind == ORDER else ()
    return CustomerEvent("c", "", START + day * DAY, kind, "", items, revenue, "", "", True, "")


def after(*events: CustomerEvent) -> CustomerState:
    state = CustomerState()
    for event in events:
        apply_event(state, event, RULES)
    return state


def named(state: CustomerState, day: float) -> dict[str, float]:
    features, _ = features_many([facts(state, START + day * DAY)])
    return dict(zip(FEATURES, features[0].tolist(), strict=True))


def test_recent_levels_fade_until_the_moment_asked() -> None:
    state = after(happened(ORDER, 0, 5000, 7), happened(ORDER, 10, 3000), happened(REFUND, 12, 900))
    found = named(state, 40)
    assert found["occasions_60"] == pytest.approx(log1p(exp(-40 / 60) + exp(-30 / 60)), rel=1e-6)
    assert found["spend_30"] == pytest.approx(log1p(50 * exp(-40 / 30) + 30 * exp(-1)), rel=1e-6)
    assert found["refunds_90"] == pytest.approx(log1p(exp(-28 / 90)), rel=1e-6)
    assert found["since_order"] == pytest.approx(log1p(30), rel=1e-6)
    assert found["longest_gap_ratio"] == pytest.approx(log1p(30) - log1p(10), rel=1e-6)
    assert found["quantity"] == pytest.approx((log1p(7) + log1p(1)) / 2, rel=1e-6)


def test_decayed_sums_do_not_depend_on_the_order_of_arrival() -> None:
    one, other = happened(ORDER, 0, 5000), happened(REFUND, 3, 900)
    late = happened(ORDER, 1, 2000)
    found, other_way = named(after(one, other, late), 5), named(after(one, late, other), 5)
    for name in ("spend_30", "refunds_90", "since_order"):
        assert found[name] == pytest.approx(other_way[name], rel=1e-6)


def test_features_are_finite_for_the_emptiest_customer_and_for_one_with_100_000_events() -> None:
    empty = CustomerState(first_seen=START, last_seen=START)
    only_refunds = after(happened(REFUND, 0, 10**12))
    viewed, kinds = KIND["Product Viewed"], (ORDER, REFUND)
    busy = CustomerState()
    for n in range(100_000):
        kind = kinds[n % 2] if n % 10 == 0 else viewed
        apply_event(busy, happened(kind, n / 500, 10**12 if kind != viewed else 0, 10**6), RULES)
    for state in (empty, only_refunds, busy):
        for day in (200, 10_000):
            assert np.isfinite(list(named(state, day).values())).all()
    assert len(encode_state(busy)) < 1000


def test_a_customer_stored_by_the_first_version_has_features() -> None:
    state = after(happened(ORDER, 0, 5000), happened(ORDER, 10, 3000))
    first = CustomerState.__struct_fields__.index("occasions_60")
    old: Any = [getattr(state, name) for name in CustomerState.__struct_fields__[:first]]
    packed = encode_state(old)
    found = named(decode_state(packed), 40)
    assert found["longest_gap_ratio"] == pytest.approx(log1p(30) - log1p(10), rel=1e-6)
    assert (found["occasions_60"], found["spend_30"], found["quantity"]) == (0.0, 0.0, 0.0)
    whole = named(state, 40)
    assert [found[n] for n in FEATURES[:KNOWN_TO_FIRST]] == [
        whole[n] for n in FEATURES[:KNOWN_TO_FIRST]
    ]


def test_a_prediction_opened_by_the_first_version_is_read() -> None:
    old = Prediction(START, 0, struct.pack("<21f", *range(19), 0.25, 10.0))
    features, churn, value = unpack_numbers(old)
    assert list(features) == list(FEATURES[:KNOWN_TO_FIRST])
    assert (features["refund_share"], churn, value) == (18.0, 0.25, 10.0)
    new = Prediction(START, 0, pack_numbers(np.arange(float(len(FEATURES))), None, 2.0))
    features, churn, value = unpack_numbers(new)
    assert (features[FEATURES[-1]], churn, value) == (len(FEATURES) - 1.0, None, 2.0)


def test_every_feature_has_words() -> None:
    assert tuple(TEXTS) == FEATURES
    for name in FEATURES:
        assert describe(name, 1.0)
