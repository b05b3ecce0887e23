"""One record of the items topic, checked, to and from its bytes."""

from __future__ import annotations

import re
from math import inf
from typing import Annotated, Final

import msgspec

from crm_online.decoding import RecordDecoder
from crm_online.errors import EventRejected
from crm_online.items import MAX_ID_LENGTH, identifier
from crm_online.log import Message

__all__ = ["MAX_TEXT", "CatalogueItem", "item_message", "read_item"]

MAX_TEXT: Final = 1000
_CURRENCY: Final = re.compile(r"[A-Z]{3}")

Id = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_ID_LENGTH)]
Text = Annotated[str, msgspec.Meta(max_length=MAX_TEXT)]
Price = Annotated[float, msgspec.Meta(ge=0.0)]


class CatalogueItem(msgspec.Struct, frozen=True, gc=False):
    """One item of the catalogue, as it stands on ``crm.items``.

    Parameters
    ----------
    item_id
        As events name it: 1 to 100 characters, none of them a control character.
    name
        What people call it, up to 1,000 characters.
    category
        A path such as ``"Garden > Tools"``, up to 1,000 characters.
    price
        Of one unit, finite and not below zero; ``None`` where it is not known.
    currency
        Of the price, three capitals of ISO 4217, or ``""``.
    available
        Whether it may be recommended.
    """

    item_id: Id
    name: Text = ""
    category: Text = ""
    price: Price | None = None
    currency: str = ""
    available: bool = True
    schema_version: int = 1

    def __post_init__(self) -> None:
        """Refuse what types alone cannot say.

        Raises
        ------
        ValueError
            Which msgspec turns into its own ``ValidationError`` while it decodes.
        """
        try:
            identifier(self.item_id, "item_id")
        except EventRejected as rejected:
            raise ValueError(rejected.message) from None
        if self.currency and not _CURRENCY.fullmatch(self.currency):
            raise ValueError("currency is not three capitals such as EUR")
        if self.price == inf:
            raise ValueError("price is not finite")


_encode: Final = msgspec.json.Encoder().encode
_decode: Final[RecordDecoder[CatalogueItem]] = RecordDecoder("items", CatalogueItem)
JSON: Final = ("content-type", b"application/json")


def item_message(item: CatalogueItem) -> Message:
    """Make the record of an item.

    Examples
    --------
    >>> item_message(CatalogueItem("mug", price=4.5)).key
    b'mug'
    """
    return Message(item.item_id.encode(), _encode(item), [JSON])


def read_item(key: bytes | None, value: bytes) -> CatalogueItem | None:
    """Read a record of the items topic; nothing where it is none, or stands under another key.

    Raises
    ------
    SnapshotError
        Where a newer version of the program wrote it.
    """
    try:
        item = _decode(value)
    except msgspec.MsgspecError:
        return None
    return item if item.item_id.encode() == key else None
