"""The OpenAPI document: FastAPI's, with the bodies of the intake from the published contract."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

from fastapi.openapi.utils import get_openapi

from crm_online.contract.events import SEGMENT_EVENT
from streams.web.lots import BATCH_EVENTS

if TYPE_CHECKING:
    from fastapi import FastAPI

__all__ = ["document"]

SCHEMES: Final = {
    "writeKey": {
        "type": "http",
        "scheme": "basic",
        "description": "A key of CRM_WRITE_KEYS as user name, without a password.",
    },
    "apiKey": {"type": "http", "scheme": "bearer", "description": "A key of CRM_API_KEYS."},
}
REF: Final = "#/components/schemas/{model}"


def document(app: FastAPI) -> dict[str, Any]:
    """Return the document of an app.

    Parameters
    ----------
    app
        With all its routes.
    """
    if app.openapi_schema is None:
        made = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        parts = made.setdefault("components", {})
        parts["securitySchemes"] = SCHEMES
        parts["schemas"] = dict(sorted((parts.get("schemas", {}) | _bodies()).items()))
        app.openapi_schema = made
    return app.openapi_schema


@cache
def _bodies() -> dict[str, Any]:
    """Return the schemas of what is sent."""
    event = SEGMENT_EVENT.json_schema(ref_template=REF)
    schemas: dict[str, Any] = event.pop("$defs")
    batch = {
        "type": "object",
        "title": "Batch",
        "description": "Several events; what stands beside them holds for each without its own.",
        "required": ["batch"],
        "properties": {
            "batch": {
                "type": "array",
                "minItems": 1,
                "maxItems": BATCH_EVENTS,
                "items": {"$ref": REF.format(model="Event")},
            },
            "context": {"type": "object"},
            "integrations": {"type": "object"},
            "sentAt": {"type": "string", "format": "date-time"},
        },
    }
    return schemas | {"Event": event | {"title": "Event"}, "Batch": batch}
