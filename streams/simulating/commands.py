"""`crm-online simulate`: a generated population, of given size or like a history."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from streams import options

__all__ = ["simulate"]

CUSTOMERS: Final = 1000
DAYS: Final = 120.0

Customers = Annotated[
    int | None,
    typer.Option(
        metavar="NUMBER",
        min=1,
        help="Size of the population; 1000, or that of --like.",
        show_default=False,
    ),
]
Days = Annotated[
    float | None,
    typer.Option(
        metavar="DAYS",
        min=1,
        help="Days of event time; 120, or those of --like.",
        show_default=False,
    ),
]
Like = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="A history that it is to resemble; no customer of it is kept.",
        show_default=False,
    ),
]


def simulate(
    customers: Customers = None,
    days: Days = None,
    seed: options.Seed = 1,
    like: Like = None,
    format_: options.Format = "segment",
    rate: options.Rate = None,
    max_ahead: options.MaxAhead = None,
    output: options.Output = None,
    json_: options.Json = False,
    customer: options.Customer = None,
    at: options.At = None,
    item: options.Item = None,
    amount: options.Amount = None,
    kind: options.Kind = None,
    kafka: options.Kafka = None,
    prefix: options.Prefix = None,
    set_: options.Set = None,
    settings_file: options.SettingsFile = None,
) -> None:
    """Put the events of a generated population on the events topic, or into a file.

    Examples:
      crm-online simulate --customers 5000 --days 90 --rate 500
      crm-online simulate --seed 7 --output events.jsonl
      crm-online simulate --like history.jsonl.gz --output events.jsonl
      crm-online simulate --output - | head -3

    A worker must be running, unless you say --max-ahead none or --output.
    """
    settings = options.settings_of(settings_file, set_, kafka=kafka, app=prefix)
    from crm_online.simulation.population import Population
    from crm_online.simulation.population_settings import PopulationSettings
    from streams.exits import say
    from streams.feed_command import simulate_population, write_population
    from streams.simulating.like import population_like
    from streams.steps import ColumnNames, open_history, parse_max_ahead

    if like is None:
        if format_ != "segment" or any((customer, at, item, amount, kind)):
            raise typer.BadParameter("says how a history is to be read", param_hint="--like")
        population = Population(
            PopulationSettings(customers=customers or CUSTOMERS, days=days or DAYS, seed=seed)
        )
    else:
        names = ColumnNames(customer, at, item, amount, kind)
        history = open_history(like, format_, names, None)
        population, said = population_like(settings, history, seed, customers, days)
        say(f"like {like.name}: {said}")
    if output is not None:
        raise typer.Exit(write_population(population, output, rate=rate, json=json_))
    ahead = parse_max_ahead(max_ahead, settings)
    raise typer.Exit(
        simulate_population(settings, population, rate=rate, max_ahead_seconds=ahead, json=json_)
    )
