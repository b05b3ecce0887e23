"""Public shops as invoices in order of time, and a catalogue of what they sold."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from crm_online.catalogue import CatalogueItem

__all__ = ["SHOPS", "Invoice", "Shop"]


class Invoice(NamedTuple):
    """What one customer took at one time: items in order, each once."""

    customer: str
    items: list[str]


class Shop(NamedTuple):
    """Invoices in order of time, and all items that stand on them."""

    invoices: list[Invoice]
    items: list[CatalogueItem]


def _rows(file: Path) -> Iterator[dict[str, str]]:
    with gzip.open(file, "rt") as lines:
        yield from csv.DictReader(lines)


def _shop(touches: Iterator[tuple[str, str, str]], about: dict[str, CatalogueItem]) -> Shop:
    """Gather (invoice, customer, item) in order of time."""
    invoices: dict[str, Invoice] = {}
    for number, customer, item in touches:
        invoice = invoices.setdefault(number, Invoice(customer, []))
        if item not in invoice.items:
            invoice.items.append(item)
    sold = sorted({item for invoice in invoices.values() for item in invoice.items})
    items = [about.get(item, CatalogueItem(item)) for item in sold]
    return Shop(list(invoices.values()), items)


def _online_retail(folder: Path) -> Shop:
    rows, names, prices = [], dict[str, str](), dict[str, float]()
    for row in _rows(folder / "online_retail" / "online_retail.csv.gz"):
        item, price = row["StockCode"], float(row["UnitPrice"])
        if row["Description"]:
            names.setdefault(item, row["Description"])
        if price > 0:
            prices.setdefault(item, price)
        refund = row["InvoiceNo"].startswith("C") or int(row["Quantity"]) <= 0
        if row["CustomerID"] and not refund:
            rows.append((row["InvoiceDate"], row["InvoiceNo"], row["CustomerID"], item))
    about = {i: CatalogueItem(i, name, price=prices.get(i)) for i, name in names.items()}
    rows.sort(key=lambda row: row[:2])
    return _shop((row[1:] for row in rows), about)


def _groceries(folder: Path) -> Shop:
    """Read baskets: no customers and no prices, and an item's name is all there is of it."""
    rows = list(_rows(folder / "groceries" / "groceries_long.csv.gz"))
    about = {row["item"]: CatalogueItem(row["item"], row["item"]) for row in rows}
    return _shop(((row["basket_id"], row["basket_id"], row["item"]) for row in rows), about)


def _rees46(folder: Path) -> Shop:
    """Read sessions of views, carts and purchases; of names there are only brands."""
    rows = list(_rows(folder / "rees46_sample" / "rees46_2019-10-01_0000-0250.csv.gz"))
    about = {
        row["product_id"]: CatalogueItem(
            row["product_id"],
            row["brand"],
            row["category_code"].replace(".", ">"),
            price=float(row["price"]) or None,
        )
        for row in rows
    }
    touches = ((row["user_session"], row["user_id"], row["product_id"]) for row in rows)
    return _shop(touches, about)


SHOPS = {"online_retail": _online_retail, "groceries": _groceries, "rees46_sample": _rees46}
