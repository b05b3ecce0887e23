"""Kernels are compiled once, before the tests that are timed by Hypothesis."""

from __future__ import annotations

import pytest

from crm_online.models.next_item import NextItem


@pytest.fixture(scope="session", autouse=True)
def compiled_kernels() -> None:
    """Compile, or load, every kernel."""
    NextItem(max_items=1, max_sessions=1).warm_up()
