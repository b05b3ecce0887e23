"""The published contract: pydantic models, and the JSON Schemas made of them."""
