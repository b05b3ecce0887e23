"""What a generated population is like: every parameter of its hidden processes, with units."""

from __future__ import annotations

from dataclasses import dataclass, fields

from crm_online.errors import ConfigurationError

__all__ = ["PopulationSettings"]

_SHARES = (
    "initial_share",
    "anonymous_share",
    "follow_share",
    "another_view",
    "add_in_orders",
    "add_in_visits",
    "complaint_share",
    "complaint_dropout",
    "subscriber_share",
    "drift_customer_share",
    "drift_item_share",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PopulationSettings:
    """Parameters of a `Population`.

    Parameters
    ----------
    customers
        How many arrive between start and end.
    seed
        Equal seeds and parameters give equal events to the byte.
    start
        Seconds since 1970 UTC.
    days
        Length of the history.
    initial_share
        Share of customers who arrive in the first week; the others arrive evenly until the end.
    rate_shape, rate_scale_days
        Orders per day of a customer are Gamma with shape r and rate alpha, mean r / alpha.
    dropout_a, dropout_b
        Probability to leave after an order is Beta(a, b), mean a / (a + b).
    visits_per_order
        Visits are this many times as frequent as orders.
    anonymous_share
        Share who are anonymous until their first order.
    items, categories
        Size of the catalogue.
    popularity_exponent
        Zipf exponent of items within a category, and half of it of categories.
    price_log_mean
        Mean of the natural logarithms of prices.
    follow_share
        Probability that a view follows one of the successors of the item before.
    another_view
        Probability that a visit goes on after each view: views are geometric.
    add_in_orders, add_in_visits
        Probability that a viewed item is added to the cart, in visits with and without an
        order; the last item viewed before an order is always bought.
    complaint_share, complaint_dropout
        Share of orders with a complaint, and the probability to leave when it is closed.
    emails_per_day, subscriber_share
        E-mails to each identified subscriber, and how many identified customers subscribe.
    drift_day
        Day of the change; None for half of `days`, `days` or later for none.
    drift_dropout_odds
        Odds to leave after an order are multiplied by this from then on.
    drift_customer_share, drift_item_share
        Share of customers whose favourite categories change, and of items whose successors do.

    Raises
    ------
    ConfigurationError
        Where a parameter is out of its range.

    Examples
    --------
    >>> PopulationSettings(days=100.0).drift_at - PopulationSettings().start
    4320000.0
    """

    customers: int = 2_000
    seed: int = 7
    start: float = 1_704_067_200.0  # 2024-01-01, a Monday
    days: float = 365.0
    initial_share: float = 0.5
    rate_shape: float = 1.5
    rate_scale_days: float = 30.0
    dropout_a: float = 1.0
    dropout_b: float = 6.0
    visits_per_order: float = 4.0
    anonymous_share: float = 0.3
    items: int = 1_000
    categories: int = 20
    popularity_exponent: float = 1.0
    price_log_mean: float = 2.7
    follow_share: float = 0.6
    another_view: float = 0.78
    add_in_orders: float = 0.3
    add_in_visits: float = 0.08
    complaint_share: float = 0.05
    complaint_dropout: float = 0.4
    emails_per_day: float = 0.1
    subscriber_share: float = 0.6
    drift_day: float | None = None
    drift_dropout_odds: float = 2.0
    drift_customer_share: float = 0.5
    drift_item_share: float = 0.5

    def __post_init__(self) -> None:
        for name in _SHARES:
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigurationError(f"{name} must lie between 0 and 1")
        whole = {"seed", "start", "price_log_mean", "emails_per_day", "drift_day", *_SHARES}
        for field in fields(self):
            if field.name not in whole and not 0 < getattr(self, field.name) < float("inf"):
                raise ConfigurationError(f"{field.name} must be above zero")
        if self.another_view >= 1 or self.visits_per_order < 1 or self.emails_per_day < 0:
            raise ConfigurationError(
                "another_view must be below 1, visits_per_order at least 1, emails_per_day not"
                " below 0"
            )
        if self.items < max(4, 2 * self.categories):
            raise ConfigurationError("items must be 4 or more, and two or more per category")

    @property
    def end(self) -> float:
        """The end of the history, seconds since 1970; no event is as late."""
        return self.start + self.days * 86_400

    @property
    def drift_at(self) -> float:
        """The time of the drift, seconds since 1970."""
        day = self.days / 2 if self.drift_day is None else self.drift_day
        return self.start + day * 86_400
