"""Where events come from when no shop is at hand: files of history and a generated population."""

from __future__ import annotations

__all__: list[str] = []
