"""Cold sessions of real shops: what content finds where the session index knows nothing.

    python benchmarks/content.py DATA_FOLDER [SHOP [INVOICES]]

The shops are those of `benchmarks/catalogues.py`; all of them where none is named. A fifth of the
items is never learned. Of each invoice that holds some of them, the first, or the first three, are
the open session; what else is on the invoice should be in the list. Invoices are learned in order
of time, each after it was predicted.
"""

from __future__ import annotations

import random
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.catalogues import SHOPS, Invoice
from crm_online.catalogue import Catalogue, CatalogueItem
from crm_online.fallback import ContentFallback, Wish
from crm_online.models.next_item import Candidate, Query
from crm_online.replica import Replica
from crm_online.scores import Interaction
from crm_online.settings import Settings

__all__ = ["main"]

SIZE = 10
UNMEASURED = 500  # invoices at the beginning
LEAST_ITEMS = 4
PREFIXES = (1, 3)


class Till:
    """A scorer's index and content, without the rest of it."""

    def __init__(self, items: Sequence[CatalogueItem]) -> None:
        self._catalogue = Catalogue()
        self._catalogue.take(items)
        self._replica = Replica(Settings())
        self._fallback = ContentFallback(self._catalogue, self._replica)
        self._numbers: Counter[str] = Counter()
        self.seconds = 0.0

    def lists(self, session: Sequence[str]) -> tuple[list[Candidate], list[Candidate]]:
        """Return the list without a catalogue, and with one."""
        query = Query("nobody", 1, tuple(session))
        [plain] = self._replica.model.recommend_many([query], SIZE)
        begin = time.perf_counter()
        [filled] = self._fallback.fill([Wish(query, (), plain)], SIZE)
        self.seconds += time.perf_counter() - begin
        return plain, filled

    def learn(self, invoice: Invoice, hidden: frozenset[str]) -> None:
        """Learn an invoice, but for what is hidden."""
        self._numbers[invoice.customer] += 1
        session = self._numbers[invoice.customer]
        touches = [
            Interaction(0, 0, invoice.customer, session, item, "", 0.0)
            for item in invoice.items
            if item not in hidden
        ]
        self._replica.model.learn_many(touches)
        self._replica.content.learn_many(self._catalogue.describe(touches))


def questions(invoice: Invoice, hidden: frozenset[str]) -> Iterator[tuple[int, list[str]]]:
    """Return the sessions that an invoice asks of, by how many items they were to have."""
    cold = [item for item in invoice.items if item in hidden]
    for length in PREFIXES:
        if cold and len(invoice.items) >= max(LEAST_ITEMS, length + 2):
            yield length, cold[:length]


def measure(invoices: Sequence[Invoice], items: Sequence[CatalogueItem]) -> None:
    """Predict and learn all invoices in their order, and print a table."""
    hidden = frozenset(random.Random(1).sample([item.item_id for item in items], len(items) // 5))
    till = Till(items)
    found: defaultdict[tuple[int, str], list[tuple[bool, bool, float, float]]] = defaultdict(list)
    for number, invoice in enumerate(invoices):
        for length, session in questions(invoice, hidden) if number >= UNMEASURED else ():
            rest = [item for item in invoice.items if item not in session]
            for name, list_ in zip(("trending", "content"), till.lists(session), strict=True):
                listed = [candidate.item for candidate in list_]
                hits = sum(item in rest for item in listed) / SIZE
                cold = sum(item in hidden for item in listed) / SIZE
                found[length, name].append((rest[0] in listed, hits > 0, hits, cold))
        till.learn(invoice, hidden)
    for (length, name), rows in sorted(found.items()):
        first, some, share, cold = (sum(column) / len(rows) for column in zip(*rows, strict=True))
        sys.stdout.write(
            f"{length} cold, then {name}: {len(rows):,} lists; next item in {first:.3f}, "
            f"any of the invoice in {some:.3f}; of ten {SIZE * share:.2f} right, "
            f"{SIZE * cold:.2f} cold\n"
        )
    asked = sum(map(len, found.values())) / 2
    sys.stdout.write(f"{1e6 * till.seconds / asked:.0f} µs per list filled, one at a time\n")


def main() -> None:
    """Measure every shop, or the one that is named."""
    folder, names = Path(sys.argv[1]), sys.argv[2:3] or [*SHOPS]
    for name in names:
        invoices, items = SHOPS[name](folder)
        invoices = invoices[: int(sys.argv[3])] if len(sys.argv) > 3 else invoices
        sys.stdout.write(f"{name}: {len(invoices):,} invoices, {len(items):,} items\n")
        measure(invoices, items)


if __name__ == "__main__":
    main()
