"""Triggers as they are written: each has one key that tells what it is."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from typing import Annotated, Any, Final, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    PrivateAttr,
    StrictFloat,
    StrictInt,
    StrictStr,
    Tag,
    model_validator,
)

from crm_online.models.segments import SEGMENTS

__all__ = [
    "MAX_VIEWS",
    "TAG",
    "AllOf",
    "AnyOf",
    "CartLeft",
    "ChurnAbove",
    "Part",
    "Segment",
    "SegmentEntered",
    "SegmentLeft",
    "SegmentReentered",
    "Silent",
    "ValueAbove",
    "Viewed",
    "When",
    "depth",
    "leaves",
]

MAX_VIEWS: Final = 10
HYSTERESIS: Final = 0.1


def _segment(name: str) -> str:
    if name not in SEGMENTS:
        raise ValueError(f"there is no such segment; there are {', '.join(SEGMENTS)}")
    return name


Segment = Annotated[
    StrictStr, AfterValidator(_segment), Field(json_schema_extra={"enum": [*SEGMENTS]})
]
Days = Annotated[StrictFloat, Field(gt=0, le=400)]


class Part(BaseModel):
    """Any part of a rules file: what is not known is refused."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, allow_inf_nan=False
    )


class _Leaf(Part):
    _key: str = PrivateAttr("")

    @property
    def key(self) -> str:
        """Name of just this trigger in just this rule, for as long as neither changes."""
        return self._key

    def belong_to(self, rule: str) -> None:
        """Take the name of the rule into the key."""
        text = f"{rule}\0{self.model_dump_json()}"
        self._key = blake2b(text.encode(), digest_size=6).hexdigest()


class SegmentEntered(_Leaf):
    """The customer comes into a segment."""

    segment_entered: Segment


class SegmentLeft(_Leaf):
    """The customer leaves a segment."""

    segment_left: Segment


class SegmentReentered(_Leaf):
    """The customer comes into a segment that they had been in before."""

    segment_reentered: Segment


class ChurnAbove(_Leaf):
    """The churn probability rises to a threshold; again only once it has fallen well below."""

    churn_above: Annotated[StrictFloat, Field(gt=0, le=1)]
    rearm_below: Annotated[StrictFloat, Field(ge=0, le=1)] | None = Field(
        None, description="0.1 below the threshold where absent."
    )

    @property
    def rearm(self) -> float:
        """At or below this, the next crossing counts."""
        lower = self.churn_above - HYSTERESIS
        return max(lower, 0.0) if self.rearm_below is None else self.rearm_below

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.rearm >= self.churn_above:
            raise ValueError("rearm_below must lie below churn_above")
        return self


class ValueAbove(_Leaf):
    """The expected value rises to an amount; again only once it has fallen well below."""

    value_above: Annotated[StrictFloat, Field(gt=0)]
    rearm_below: Annotated[StrictFloat, Field(ge=0)] | None = Field(
        None, description="Nine tenths of the amount where absent."
    )

    @property
    def rearm(self) -> float:
        """At or below this, the next crossing counts."""
        lower = self.value_above * (1.0 - HYSTERESIS)
        return lower if self.rearm_below is None else self.rearm_below

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.rearm >= self.value_above:
            raise ValueError("rearm_below must lie below value_above")
        return self


class Viewed(_Leaf):
    """One product is viewed so often within some days, and not bought."""

    viewed: Annotated[StrictInt, Field(ge=1, le=MAX_VIEWS)]
    within_days: Days = 7.0


class CartLeft(_Leaf):
    """Products lie in the cart, and the customer has been away for so long."""

    cart_left_hours: Annotated[StrictFloat, Field(gt=0, le=24 * 30)]


class Silent(_Leaf):
    """The customer has done nothing for so long."""

    silent_days: Days


class AnyOf(Part):
    """One of these comes true."""

    any: Annotated[list[When], Field(min_length=1, max_length=10)]


class AllOf(Part):
    """One of these comes true while the others are."""

    all: Annotated[list[When], Field(min_length=1, max_length=10)]


_KINDS: Final = (
    "segment_entered",
    "segment_left",
    "segment_reentered",
    "churn_above",
    "value_above",
    "viewed",
    "cart_left_hours",
    "silent_days",
    "any",
    "all",
)
TAG: Final = "when:"


def _kind(value: object) -> str | None:
    fields = value if isinstance(value, dict) else getattr(value, "__dict__", ())
    return next((TAG + kind for kind in _KINDS if kind in fields), None)


When = Annotated[
    Annotated[SegmentEntered, Tag("when:segment_entered")]
    | Annotated[SegmentLeft, Tag("when:segment_left")]
    | Annotated[SegmentReentered, Tag("when:segment_reentered")]
    | Annotated[ChurnAbove, Tag("when:churn_above")]
    | Annotated[ValueAbove, Tag("when:value_above")]
    | Annotated[Viewed, Tag("when:viewed")]
    | Annotated[CartLeft, Tag("when:cart_left_hours")]
    | Annotated[Silent, Tag("when:silent_days")]
    | Annotated[AnyOf, Tag("when:any")]
    | Annotated[AllOf, Tag("when:all")],
    Discriminator(
        _kind,
        custom_error_type="when",
        custom_error_message=f"say one of {', '.join(_KINDS)}",
    ),
]


def depth(when: Any) -> int:
    """Return how many triggers lie within each other.

    Examples
    --------
    >>> depth(AnyOf(any=[Silent(silent_days=3), AllOf(all=[Viewed(viewed=2)])]))
    3
    """
    parts = getattr(when, "any", None) or getattr(when, "all", None) or ()
    return 1 + max(map(depth, parts), default=0)


def leaves(when: Any) -> Iterator[Any]:
    """Return the simple triggers that a trigger is made of."""
    parts = getattr(when, "any", None) or getattr(when, "all", None)
    if parts is None:
        yield when
    else:
        for part in parts:
            yield from leaves(part)


AnyOf.model_rebuild()
AllOf.model_rebuild()
