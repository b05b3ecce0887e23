"""What is paid and given back, by currency."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from crm_online.kinds import ORDER, REFUND
from crm_online.profiling.counting import Remembered, digest
from crm_online.profiling.report import Currency, Orders

if TYPE_CHECKING:
    from crm_online.events import CustomerEvent

__all__ = ["Ledger"]


class Ledger:
    """Takes note of orders and refunds."""

    def __init__(self) -> None:
        self._orders: Counter[str] = Counter()
        self._revenue: Counter[str] = Counter()
        self._refunds = self._worthless = self._unnamed = self._repeated = 0
        self._known = Remembered()

    def see(self, event: CustomerEvent) -> None:
        """Take one event; what is neither is passed over. Repeats are not to be given."""
        if event.kind == REFUND:
            self._refunds += 1
        if event.kind != ORDER:
            return
        self._orders[event.currency] += 1
        self._revenue[event.currency] += event.revenue
        self._worthless += event.revenue <= 0
        if event.order_id:
            self._repeated += self._known.again(digest(event.order_id))
        else:
            self._unnamed += 1

    def profile(self) -> Orders:
        """Return what came together."""
        return Orders(
            self._orders.total(),
            self._refunds,
            self._worthless,
            self._unnamed,
            self._repeated,
            [
                Currency(name, count, self._revenue[name] / 100.0)
                for name, count in self._orders.most_common()
            ],
        )
