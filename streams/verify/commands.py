"""`crm-online verify`: its flags and its help."""

from __future__ import annotations

from typing import Annotated

import typer

from streams import options

__all__ = ["verify"]


def verify(
    kills: Annotated[int, typer.Option(min=0, help="Workers killed with SIGKILL.")] = 4,
    pauses: Annotated[
        int, typer.Option(min=0, help="Workers stopped for longer than their session timeout.")
    ] = 1,
    broker_restarts: Annotated[
        int, typer.Option(min=0, help="Of a broker that this command started.")
    ] = 0,
    cache_outages: Annotated[
        int, typer.Option(min=0, help="Of a cache that this command started.")
    ] = 0,
    events: Annotated[int, typer.Option(min=1000, help="Length of the stream.")] = 100_000,
    workers: Annotated[int, typer.Option(min=1, help="Workers at the beginning.")] = 2,
    seed: options.Seed = 1,
    keep: Annotated[bool, typer.Option("--keep", help="Leave topics and keys.")] = False,
    json_: options.Json = False,
    kafka: options.Kafka = None,
    redis: options.Redis = None,
    set_: options.Set = None,
    settings_file: options.SettingsFile = None,
) -> None:
    """Break a running job in every way, and compare what it leaves with an undisturbed run.

    Examples:
      crm-online verify
      crm-online verify --kills 20 --pauses 6 --events 1000000 --workers 3
      crm-online verify --json | jq .exact

    Runs on the Kafka and Redis that the settings name, under topics of its
    own; on servers of its own where they name none. Exits with 1 where
    anything was lost, doubled or different.
    """
    settings = options.settings_of(settings_file, set_, kafka=kafka, redis=redis)
    from streams.verify.command import run_verify

    raise typer.Exit(
        run_verify(
            settings,
            kills=kills,
            pauses=pauses,
            broker_restarts=broker_restarts,
            cache_outages=cache_outages,
            events=events,
            workers=workers,
            seed=seed,
            keep=keep,
            json=json_,
        )
    )
