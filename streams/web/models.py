"""Where `Figures` was; it stands in `streams.web.answers`."""

from __future__ import annotations

from streams.web.answers import Figures

__all__ = ["Figures"]
