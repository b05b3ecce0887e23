"""The catalogue in, as published; `crm_online.catalogue.records` reads the same."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, StrictStr

__all__ = ["CatalogueItem"]


class CatalogueItem(BaseModel):
    """One item of the catalogue; the record's key is its id."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    item_id: StrictStr = Field(
        min_length=1,
        max_length=100,
        pattern=r"^[^\x00-\x1f\x7f-\x9f]*$",
        description="As events name it.",
    )
    name: StrictStr = Field("", max_length=1000, description="What people call it.")
    category: StrictStr = Field(
        "", max_length=1000, description="A path such as 'Garden > Tools': >, / or | between parts."
    )
    price: StrictFloat | None = Field(
        None, ge=0, allow_inf_nan=False, description="Of one unit; null where it is not known."
    )
    currency: StrictStr = Field(
        "", pattern="^([A-Z]{3})?$", description="Of the price, as in ISO 4217; may be empty."
    )
    available: StrictBool = Field(default=True, description="Whether it may be recommended.")
    schema_version: StrictInt = 1
