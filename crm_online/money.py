"""Amounts of all currencies in one: rates, each in force from a day on."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Final

__all__ = ["EXACT", "Money", "RateTable"]

RateTable = Decimal | Mapping[date, Decimal]

# Decimal settings of the caller's thread must not decide how money is rounded.
EXACT: Final = Context(prec=60, rounding=ROUND_HALF_EVEN, traps=[])


class Money:
    """Converts amounts into the base currency.

    Parameters
    ----------
    base
        Code of the base currency.
    rates
        Code to what one unit is worth in the base currency: at all times, or from each day on
        (00:00 UTC). Before its first day, the first rate holds.

    Examples
    --------
    >>> money = Money("EUR", {"USD": Decimal("0.92")})
    >>> money.in_base(1050, "USD", 1.7e9), money.in_base(1050, "", 1.7e9)
    (966, 1050)
    >>> money.in_base(1050, "XXX", 1.7e9) is None
    True
    """

    def __init__(self, base: str, rates: Mapping[str, RateTable] | None = None) -> None:
        self._base: Final = base
        self._rates: Final = {code: _in_force(table) for code, table in (rates or {}).items()}

    def knows(self, currency: str) -> bool:
        """Tell whether amounts of a currency can be converted."""
        return not currency or currency == self._base or currency in self._rates

    def in_base(self, amount: int, currency: str, at: float) -> int | None:
        """Convert an amount.

        Parameters
        ----------
        amount
            Hundredths of the currency.
        currency
            Code; ``""`` is the base currency.
        at
            When it was paid, seconds since 1970.

        Returns
        -------
        int or None
            Hundredths of the base currency, rounded half to even; ``None`` where the currency has
            no rate.
        """
        if not currency or currency == self._base:
            return amount
        found = self._rates.get(currency)
        if found is None:
            return None
        since, rates = found
        rate = rates[max(bisect_right(since, at) - 1, 0)]
        return round(EXACT.multiply(Decimal(amount), rate))


def _in_force(table: RateTable) -> tuple[list[float], list[Decimal]]:
    if isinstance(table, Decimal):
        return [0.0], [table]
    days = sorted(table)
    since = [datetime.combine(day, time(), UTC).timestamp() for day in days]
    return since, [table[day] for day in days]
