"""Next item: a session index that learns per click, and ranks with reasons."""

from __future__ import annotations

from crm_online.models.next_item.queries import Candidate, Query
from crm_online.models.next_item.ranker import NextItem

__all__ = ["Candidate", "NextItem", "Query"]
