"""The names of the rules by which events are cleaned, and what each of them does."""

from __future__ import annotations

from typing import Final

from crm_online.events import CLOCK

__all__ = [
    "CLOCK",
    "CURRENCY_UNKNOWN",
    "EMPTY_LIST",
    "EVENT_SPELLING",
    "ID_BLANKS",
    "ID_NOTHING",
    "ID_NUMBER",
    "ID_UNKEYED",
    "ITEM_CASE",
    "NUMBER_TEXT",
    "PRICE_NOT_POSITIVE",
    "QUANTITY_NOT_POSITIVE",
    "RULES",
    "TEXT_NUMBER",
    "TIME_FORMAT",
    "TYPE_SPELLING",
    "VALUE_NOTHING",
]

ID_BLANKS: Final = "id-blanks"
ID_NOTHING: Final = "id-nothing"
ID_NUMBER: Final = "id-number"
ID_UNKEYED: Final = "id-unkeyed"
ITEM_CASE: Final = "item-case"
TYPE_SPELLING: Final = "type-spelling"
EVENT_SPELLING: Final = "event-spelling"
TIME_FORMAT: Final = "time-format"
NUMBER_TEXT: Final = "number-text"
TEXT_NUMBER: Final = "text-number"
VALUE_NOTHING: Final = "value-nothing"
CURRENCY_UNKNOWN: Final = "currency-unknown"
EMPTY_LIST: Final = "empty-list"
PRICE_NOT_POSITIVE: Final = "price-not-positive"
QUANTITY_NOT_POSITIVE: Final = "quantity-not-positive"

RULES: Final = {
    ID_BLANKS: "blanks around an id are cut off",
    ID_NOTHING: 'an id such as "null" or "undefined" is none',
    ID_NUMBER: "17850.0 as an id is 17850",
    ID_UNKEYED: "by the record's key, the mended ids would belong elsewhere: they stay as sent",
    ITEM_CASE: "ids of products are written as item_case says",
    TYPE_SPELLING: '" Track" is track',
    EVENT_SPELLING: '"order_completed" and "OrderCompleted" are Order Completed',
    TIME_FORMAT: "seconds or milliseconds since 1970, and times without a zone, which are UTC",
    CLOCK: "what a clock says that is wrong by a minute or more, by sentAt against receivedAt",
    NUMBER_TEXT: 'a number in quotes, such as "9.50", "9,50" or "1.234,50 €"',
    TEXT_NUMBER: "a number where a text belongs",
    VALUE_NOTHING: 'a blank, "null" or "n/a" in place of a value is none',
    CURRENCY_UNKNOWN: "an amount of a currency without a rate is not added up",
    EMPTY_LIST: "an empty list in place of an object is an empty object",
    PRICE_NOT_POSITIVE: "a product of an order that costs nothing, or less, is not bought",
    QUANTITY_NOT_POSITIVE: "a product of an order of which there are none, or fewer, is not bought",
}
