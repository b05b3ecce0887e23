"""The command `demo`."""

from __future__ import annotations

import typer

from streams import options

__all__ = ["demo"]


def demo(
    seconds: options.Seconds = 45.0,
    customers: options.Crowd = 500,
    seed: options.Seed = 1,
    hold: options.Hold = False,
) -> None:
    """Run the whole job on an embedded broker and cache, on a generated population, and watch it.

    Examples:
      crm-online demo
      crm-online demo --seconds 30 --customers 2000
      crm-online demo --hold

    It prints where its dashboard is. Exits with 1 where a promise that it
    prints did not hold.
    """
    from streams.demo.run import run_demo

    raise typer.Exit(run_demo(seconds, customers, seed, hold=hold))
