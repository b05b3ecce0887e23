"""What amounts are worth in the base currency, and that none is added up without a rate."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import ROUND_UP, Decimal, localcontext
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from crm_online.log import LogRecord
from crm_online.money import Money
from crm_online.scoring import Scorer
from crm_online.settings import Settings
from tests import builders

DATED = {date(2024, 1, 1): Decimal("1.15"), date(2024, 7, 1): Decimal("1.18")}
MONEY = Money("EUR", {"USD": Decimal("0.92"), "GBP": DATED})


def seconds(year: int, month: int, day: int) -> float:
    return datetime(year, month, day, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("at", "rate"),
    [
        (seconds(2023, 1, 1), "1.15"),
        (seconds(2024, 1, 1), "1.15"),
        (seconds(2024, 7, 1) - 0.001, "1.15"),
        (seconds(2024, 7, 1), "1.18"),
        (seconds(2030, 1, 1), "1.18"),
    ],
)
def test_the_rate_in_force_counts(at: float, rate: str) -> None:
    assert MONEY.in_base(10_000, "GBP", at) == Decimal(rate) * 10_000
    assert MONEY.in_base(10_000, "USD", at) == 9_200


@given(st.integers(-(10**14), 10**14), st.decimals("0.000001", 10**6, places=6))
def test_amounts_are_rounded_once_half_to_even(amount: int, rate: Decimal) -> None:
    with localcontext() as context:
        context.prec, context.rounding = 3, ROUND_UP
        found = Money("EUR", {"USD": rate}).in_base(amount, "USD", 0.0)
    assert found == round(amount * Fraction(rate))


def test_the_base_currency_needs_no_rate_and_others_do() -> None:
    for currency in ("EUR", ""):
        assert MONEY.in_base(17, currency, 0.0) == 17
    assert MONEY.in_base(17, "JPY", 0.0) is None


def spent(*events: bytes, **settings: Any) -> tuple[int, int, int, dict[tuple[str, str], int]]:
    """Return orders, spend and refunds of ann, and what was counted."""
    scorer = Scorer(Settings(**settings))
    start = scorer.restore(0).finish()
    now = int(builders.START * 1000)
    log = [LogRecord(start + n, now, b"ann", raw) for n, raw in enumerate(events)]
    for _ in scorer.process(0, log):
        pass
    state = scorer.partitions[0].store.load("ann")
    assert state is not None
    return state.orders, state.spend, state.refunds, dict(scorer.repairs)


def order(amount: int, currency: str) -> bytes:
    return builders.track("Order Completed", properties={"total": amount, "currency": currency})


def test_orders_and_refunds_of_all_currencies_add_up_in_the_base_one() -> None:
    refund = {"total": 10, "currency": "USD"}
    assert spent(
        order(100, "USD"),
        order(100, "EUR"),
        order(100, "usd"),
        builders.track("Order Refunded", properties=refund),
        rates={"USD": "0.92"},
    ) == (3, 28_400, 920, {})


@pytest.mark.parametrize("strictness", ["repair", "observe", "reject"])
def test_what_has_no_rate_is_counted_and_never_added_up(strictness: str) -> None:
    refund = {"total": 10, "currency": "JPY"}
    assert spent(
        order(100, "JPY"),
        order(7, "EUR"),
        builders.track("Order Refunded", properties=refund),
        strictness=strictness,
    ) == (2, 700, 0, {("currency-unknown", "unknown"): 2})


@pytest.mark.parametrize(
    "rates", [{"usd": 1}, {"USD": 0}, {"USD": -1}, {"USD": {}}, {"USD": "nan"}, {"USD": {"x": 1}}]
)
def test_rates_that_are_none_are_refused(rates: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="rates"):
        Settings(rates=rates)
