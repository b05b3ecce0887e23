"""Settings that decide how events are read."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings

__all__ = ["EventSettings", "Positive", "PositiveFloat"]

Positive = Annotated[int, Field(gt=0)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]


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

    @field_validator("currency")
    @classmethod
    def _code(cls, value: str) -> str:
        if not re.fullmatch("[A-Z]{3}", value):
            raise ValueError("write the three capitals of ISO 4217, such as EUR")
        return value
