"""Models: River estimators that learn from outcomes, frozen for scoring, packed for the log."""

from __future__ import annotations
