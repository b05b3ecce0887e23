"""The user's catalogue: what items are called, cost and belong to, and which are to be had."""

from __future__ import annotations

from crm_online.catalogue.held import Catalogue
from crm_online.catalogue.records import CatalogueItem

__all__ = ["Catalogue", "CatalogueItem"]
