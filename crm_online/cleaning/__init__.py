"""Cleaning in the stream: events that are dirty, made clean where they have one meaning."""

from __future__ import annotations

from crm_online.cleaning.reading import Cleaning, read_event
from crm_online.cleaning.repairs import Repairs
from crm_online.cleaning.rules import CURRENCY_UNKNOWN, RULES

__all__ = ["CURRENCY_UNKNOWN", "RULES", "Cleaning", "Repairs", "read_event"]
