"""Content: what goes with what, by words, categories and prices; for items nobody touched yet."""

from __future__ import annotations

from crm_online.models.content.ranker import ContentRanker

__all__ = ["ContentRanker"]
