"""The whole job on embedded parts and a generated population, to be watched."""

from __future__ import annotations

from streams.demo.run import run_demo

__all__ = ["run_demo"]
