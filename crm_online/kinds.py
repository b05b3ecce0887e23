"""What events are called: a number for each name of the Segment spec that the core knows."""

from __future__ import annotations

from typing import Final

__all__ = [
    "ACTIVITY",
    "INTERACTION",
    "KIND",
    "KINDS",
    "ORDER",
    "OTHER",
    "REFUND",
    "SUBSCRIPTION_CANCELLED",
    "TRACK_KIND",
    "TYPES",
    "UNSUBSCRIBED",
    "VALUED",
]

TYPES: Final = ("page", "screen", "identify", "alias", "group")
# Numbers stand in stored customer states: append, never reorder.
KINDS: Final[tuple[str, ...]] = (
    "other",
    *TYPES,
    "Products Searched",
    "Product List Viewed",
    "Product Clicked",
    "Product Viewed",
    "Product Added",
    "Product Removed",
    "Cart Viewed",
    "Checkout Started",
    "Order Completed",
    "Order Updated",
    "Order Refunded",
    "Order Cancelled",
    "Product Added to Wishlist",
    "Product Reviewed",
    "Email Delivered",
    "Email Opened",
    "Email Link Clicked",
    "Email Bounced",
    "Email Marked as Spam",
    "Unsubscribed",
    "Ticket Opened",
    "Ticket Closed",
    "Subscription Started",
    "Subscription Renewed",
    "Subscription Cancelled",
)
KIND: Final[dict[str, int]] = {name: number for number, name in enumerate(KINDS)}
KIND["Completed Order"] = KIND["Order Completed"]
TRACK_KIND: Final = {name: n for name, n in KIND.items() if name not in {"other", *TYPES}}

OTHER: Final = KIND["other"]
ORDER: Final = KIND["Order Completed"]
REFUND: Final = KIND["Order Refunded"]
VALUED: Final = frozenset({ORDER, REFUND})
SUBSCRIPTION_CANCELLED: Final = KIND["Subscription Cancelled"]
UNSUBSCRIBED: Final = frozenset({KIND["Unsubscribed"], KIND["Email Marked as Spam"]})

_DONE_TO_CUSTOMERS = {
    "identify",
    "alias",
    "group",
    "Order Refunded",
    "Email Delivered",
    "Email Bounced",
    "Ticket Closed",
    "Subscription Cancelled",
}
ACTIVITY: Final = frozenset(n for n, name in enumerate(KINDS) if name not in _DONE_TO_CUSTOMERS)
INTERACTION: Final = frozenset(
    KIND[name]
    for name in (
        "Product Clicked",
        "Product Viewed",
        "Product Added",
        "Product Added to Wishlist",
        "Product Reviewed",
        "Order Completed",
    )
)
