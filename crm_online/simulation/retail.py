"""Online Retail (UCI): invoice lines to one order or refund per invoice.

References
----------
D. Chen, Online Retail, UCI Machine Learning Repository, 2015, doi:10.24432/C5BW33.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal

from crm_online.errors import EventRejected
from crm_online.simulation.cells import amount, identifier, time_of, whole_number
from crm_online.simulation.notes import Notes
from crm_online.simulation.raw import RawEvent, json_text, track
from crm_online.simulation.source import Row, Source

__all__ = ["invoice_events"]

_PRODUCT = re.compile(r"[0-9]{5}")  # codes of products begin with five digits
_COLUMNS = (
    ("InvoiceNo", "Invoice"),
    ("StockCode",),
    ("Quantity",),
    ("InvoiceDate",),
    ("UnitPrice", "Price"),
    ("CustomerID", "Customer ID"),
)


@dataclass(slots=True)
class _Invoice:
    number: str
    customer: str
    at: float
    products: list[str] = field(default_factory=list)
    total: Decimal = Decimal(0)


def invoice_events(source: Source) -> Iterator[RawEvent]:
    """Group lines into invoices, and give these out by time, equal times in file order.

    An invoice is an ``Order Completed``, or an ``Order Refunded`` where its number begins with
    ``C``: there quantities and amounts change sign, so a refund of 5.00 says 5.00. Its
    ``messageId`` and ``order_id`` are its number, its time that of its first line, its total
    the exact sum of quantity times price. Amounts carry no currency: they count as the base
    currency.
    Lines without a customer are skipped (``no-customer``).

    Parameters
    ----------
    source
        The file; in any order, since it is read to its end before the first event.
    """
    invoices: dict[str, _Invoice] = {}
    for row in source.table(_COLUMNS):
        if source.notes is not None:
            _note(source.notes, row)
        try:
            _add(invoices, row)
        except EventRejected as bad:
            source.skip(bad.reason, row.line)
    for invoice in sorted(invoices.values(), key=lambda invoice: invoice.at):
        yield _event(invoice)


def _note(notes: Notes, row: Row) -> None:
    number, code, quantity, _, price, _ = row.cells
    notes.see_code(code)
    if number[:1] in {"C", "c"}:
        notes.count("cancellation")
    if not _PRODUCT.match(code):
        notes.count_kind("no product", code)
    with suppress(EventRejected):
        if whole_number(quantity) < 0:
            notes.count("quantity below zero")
    with suppress(EventRejected):
        if amount(price) <= 0:
            notes.count("price not positive")


def _add(invoices: dict[str, _Invoice], row: Row) -> None:
    number, product, quantity, date, price, customer = row.cells
    who = identifier(customer, "customer")
    number = identifier(number, "invoice").upper()
    product = identifier(product, "item")
    sign = -1 if number.startswith("C") else 1
    count, each, at = sign * whole_number(quantity), amount(price), time_of(date)
    invoice = invoices.get(number)
    if invoice is None:
        invoice = invoices[number] = _Invoice(number, who, at)
    if invoice.customer != who:
        raise EventRejected("second-customer-of-invoice", "an invoice of two customers")
    invoice.products.append(
        f'{{"product_id":{json_text(product)},"price":{each},"quantity":{count}}}'
    )
    invoice.total += count * each


def _event(invoice: _Invoice) -> RawEvent:
    name = "Order Refunded" if invoice.number.startswith("C") else "Order Completed"
    order, who = json_text(invoice.number)[1:-1], json_text(invoice.customer)
    total = f'"revenue":{invoice.total},"total":{invoice.total}'
    properties = f'"order_id":"{order}",{total},"products":[{",".join(invoice.products)}]'
    value = track(name, f'"userId":{who}', order, invoice.at, properties)
    return RawEvent(invoice.at, invoice.customer, value)
