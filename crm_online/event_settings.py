"""Settings that decide how events are read."""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from typing import Annotated, Final, Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings

__all__ = ["EventSettings", "Positive", "PositiveFloat"]

Positive = Annotated[int, Field(gt=0)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Rate = Annotated[Decimal, Field(gt=0, lt=10**9, allow_inf_nan=False)]

CODE: Final = re.compile("[A-Z]{3}")


class EventSettings(BaseSettings):
    """How events are read; a part of `crm_online.settings.Settings`."""

    max_event_bytes: Positive = 32 * 1024
    max_skew_seconds: PositiveFloat = 300.0
    allowed_lateness_days: PositiveFloat = 7.0
    strictness: Literal["repair", "reject", "observe"] = Field(
        "repair", description="What becomes of dirty events: cleaned, refused, or only counted."
    )
    item_case: Literal["keep", "lower", "upper"] = Field(
        "keep", description="How ids of products are written, whoever sends them."
    )
    currency: str = Field("EUR", description="Base currency of all amounts.")

    rates: dict[str, Rate | dict[date, Rate]] = Field(
        {}, description="Currency to what one unit is worth in the base one, or from a day on."
    )

    @field_validator("rates")
    @classmethod
    def _codes(
        cls, value: dict[str, Decimal | dict[date, Decimal]]
    ) -> dict[str, Decimal | dict[date, Decimal]]:
        for code, table in value.items():
            if not CODE.fullmatch(code):
                raise ValueError(f"{code}: write the three capitals of ISO 4217, such as USD")
            if table == {}:
                raise ValueError(f"{code} has no rate")
        return value

    @field_validator("currency")
    @classmethod
    def _code(cls, value: str) -> str:
        if not CODE.fullmatch(value):
            raise ValueError("write the three capitals of ISO 4217, such as EUR")
        return value
