"""Which categories customers buy the same item from again: bread, not sofas."""

from __future__ import annotations

from crm_online.scores import Interaction

__all__ = ["RepurchaseHabits"]

ORDER = "Order Completed"
MAX_CATEGORIES = 10_000


class RepurchaseHabits:
    """Share of purchases, by category, of an item that the customer had bought before.

    Items without a category form one of their own; so do all beyond the first 10,000.

    Parameters
    ----------
    share
        A category has the habit from this share on.
    min_purchases
        Purchases in a category before its share counts.

    Examples
    --------
    >>> habits = RepurchaseHabits(share=0.1, min_purchases=2)
    >>> for repeat in (False, True):
    ...     bought = Interaction(0, 0, "ann", 1, "rye", "Order Completed", 0.0, "bread", repeat)
    ...     habits.learn(bought)
    >>> habits.has_habit("bread"), habits.has_habit("sofas")
    (True, False)
    """

    def __init__(self, share: float = 0.1, min_purchases: int = 20) -> None:
        self.share = share
        self.min_purchases = min_purchases
        self.counts: dict[str, list[int]] = {}

    def learn(self, interaction: Interaction) -> None:
        """Count a purchase; other interactions say nothing about habits."""
        if interaction.kind != ORDER:
            return
        category = interaction.category
        if category not in self.counts and len(self.counts) >= MAX_CATEGORIES:
            category = ""
        counts = self.counts.setdefault(category, [0, 0])
        counts[0] += 1
        counts[1] += interaction.repeat

    def has_habit(self, category: str) -> bool:
        """Tell whether customers buy the same item of a category again."""
        purchases, repeats = self.counts.get(category) or self.counts.get("") or (0, 0)
        return purchases >= self.min_purchases and repeats >= self.share * purchases
