"""Events in, as published: the six types of the Segment spec.

The hot path reads the same with `crm_online.events.parse_event`; a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    JsonValue,
    StrictInt,
    StrictStr,
    Tag,
    TypeAdapter,
    model_validator,
)
from pydantic.alias_generators import to_camel

from crm_online.contract.times import When
from crm_online.events import clock_shift
from crm_online.items import MAX_AMOUNT, MAX_ID_LENGTH, MAX_QUANTITY
from crm_online.kinds import ORDER, REFUND, TRACK_KIND

__all__ = [
    "SEGMENT_EVENT",
    "Alias",
    "Group",
    "Identify",
    "OtherTrack",
    "Page",
    "Product",
    "Properties",
    "Screen",
    "SegmentEvent",
    "Track",
]

_YEAR_2000 = datetime(2000, 1, 1, tzinfo=UTC).timestamp()


def _short(number: int) -> int:
    if len(str(number)) > MAX_ID_LENGTH:
        raise ValueError(f"at most {MAX_ID_LENGTH} digits")
    return number


def _amount(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("an amount is a number")  # noqa: TRY004 -- pydantic wants a ValueError
    return value


_TextId = Annotated[StrictStr, Field(max_length=MAX_ID_LENGTH, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")]
_Id = _TextId | Annotated[StrictInt, AfterValidator(_short)] | None
_When = When | None
_Amount = Annotated[
    Decimal, BeforeValidator(_amount), Field(ge=-MAX_AMOUNT, le=MAX_AMOUNT, allow_inf_nan=False)
]
_Quantity = Annotated[
    Decimal,
    BeforeValidator(_amount),
    Field(ge=-MAX_QUANTITY, le=MAX_QUANTITY, allow_inf_nan=False),
]
_Object = dict[str, Any]
_NAMES: list[JsonValue] = [*sorted(TRACK_KIND)]


class Product(BaseModel):
    """One product of an event."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    product_id: _Id = Field(None, description="Id of the product.")
    sku: _Id = Field(None, description="Stands in where there is no product_id.")
    category: StrictStr | None = Field(None, description="First 100 characters are kept.")
    quantity: _Quantity | None = Field(None, description="1 where absent.")
    price: _Amount | None = Field(None, description="Of one unit, in major units of the currency.")


class Properties(Product):
    """Properties of the track events that the Segment spec names."""

    order_id: _Id = None
    total: _Amount | None = Field(None, description="Value of the order where revenue is absent.")
    revenue: _Amount | None = Field(None, description="Value of the order, or of the refund.")
    shipping: _Amount | None = Field(None, description="Taken off the total.")
    tax: _Amount | None = Field(None, description="Taken off the total.")
    discount: _Amount | None = Field(None, description="Taken off the sum of the products.")
    currency: StrictStr | None = Field(None, description="ISO 4217 code.")
    products: list[Product] | None = Field(None, description="Instead of the fields above.")


def _worth(properties: Properties) -> Decimal:
    if properties.revenue is not None:
        return Decimal(0)  # bounded by its own type
    if properties.total is not None:
        return properties.total - (properties.shipping or 0) - (properties.tax or 0)
    lines: Sequence[Product] = properties.products or [properties]
    return sum(
        ((x.price or Decimal(0)) * (1 if x.quantity is None else x.quantity) for x in lines),
        -(properties.discount or Decimal(0)),
    )


class _Common(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        hide_input_in_errors=True,
        alias_generator=to_camel,
        extra="ignore",
        json_schema_extra={"anyOf": [{"required": ["userId"]}, {"required": ["anonymousId"]}]},
    )

    user_id: _Id = Field(None, description="The customer id; else anonymousId is.")
    anonymous_id: _Id = Field(None, description="Needed where there is no userId.")
    message_id: _Id = Field(None, description="A second event with the same id changes nothing.")
    timestamp: _When = Field(None, description="Event time; else the next three, else Kafka's.")
    original_timestamp: _When = None
    sent_at: _When = None
    received_at: _When = None
    context: _Object | None = None
    integrations: _Object | None = None

    @model_validator(mode="after")
    def _usable(self) -> Self:
        if self.user_id in {None, ""} and self.anonymous_id in {None, ""}:
            raise ValueError("userId or anonymousId is required")
        at = self.timestamp or self.original_timestamp or self.sent_at or self.received_at
        shift = clock_shift(self.timestamp, self.original_timestamp, self.sent_at, self.received_at)
        if at is not None and at.timestamp() + max(shift, 0.0) < _YEAR_2000:
            raise ValueError("the time lies before the year 2000")
        return self


class Track(_Common):
    """A customer did something that the Segment spec names."""

    type: Literal["track"]
    event: StrictStr = Field(json_schema_extra={"enum": _NAMES})
    properties: Properties | None = None

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if TRACK_KIND[self.event] not in {ORDER, REFUND} or self.properties is None:
            return self
        if abs(_worth(self.properties)) > MAX_AMOUNT:
            raise ValueError(f"an order is worth at most {MAX_AMOUNT}")
        return self


class OtherTrack(_Common):
    """A customer did something else: it counts as activity."""

    type: Literal["track"]
    event: StrictStr = Field(min_length=1, json_schema_extra={"not": {"enum": _NAMES}})
    properties: Any = Field(None, description="Not read.")


class Page(_Common):
    """A customer saw a page."""

    type: Literal["page"]
    properties: _Object | None = None


class Screen(_Common):
    """A customer saw a screen of an app."""

    type: Literal["screen"]
    properties: _Object | None = None


class Identify(_Common):
    """Who a customer is."""

    type: Literal["identify"]
    traits: _Object | None = None


class Alias(_Common):
    """Two ids are one customer."""

    type: Literal["alias"]
    previous_id: _Id = None


class Group(_Common):
    """A customer belongs to a group."""

    type: Literal["group"]
    group_id: _Id = None
    traits: _Object | None = None


def _shape(value: object) -> str | None:
    fields = value if isinstance(value, dict) else vars(value) if hasattr(value, "__dict__") else {}
    name, event = fields.get("type"), fields.get("event")
    if name == "track" and not (isinstance(event, str) and event in TRACK_KIND):
        return "other"
    return name if isinstance(name, str) else None


SegmentEvent = Annotated[
    Annotated[Track, Tag("track")]
    | Annotated[OtherTrack, Tag("other")]
    | Annotated[Page, Tag("page")]
    | Annotated[Screen, Tag("screen")]
    | Annotated[Identify, Tag("identify")]
    | Annotated[Alias, Tag("alias")]
    | Annotated[Group, Tag("group")],
    Discriminator(_shape),
]
SEGMENT_EVENT: TypeAdapter[Any] = TypeAdapter(
    SegmentEvent, config=ConfigDict(hide_input_in_errors=True)
)
