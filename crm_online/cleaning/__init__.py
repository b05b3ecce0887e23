"""Cleaning in the stream: events that are dirty, made clean where they have one meaning."""

from __future__ import annotations

from crm_online.cleaning.reading import Cleaning, read_event
from crm_online.cleaning.repairs import Repairs
from crm_online.cleaning.rules import RULES

__all__ = ["RULES", "Cleaning", "Repairs", "read_event"]
