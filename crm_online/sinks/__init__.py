"""Where scores and recommendations go besides their topics."""

from __future__ import annotations

__all__: list[str] = []
