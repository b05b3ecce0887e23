"""A generated population that resembles a history."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import typer

from crm_online.cleaning import Cleaning, read_event
from crm_online.errors import EventRejected
from crm_online.simulation.fitting import Likeness
from crm_online.simulation.population import Population
from crm_online.simulation.replay import Send
from streams.exits import counted, say
from streams.progress import progress_bar

if TYPE_CHECKING:
    from crm_online.settings import Settings
    from streams.steps import History

__all__ = ["population_like"]

SAID: Final = (  # of what was fitted
    "customers",
    "days",
    "rate_shape",
    "rate_scale_days",
    "dropout_a",
    "dropout_b",
    "visits_per_order",
    "another_view",
    "items",
    "categories",
    "popularity_exponent",
)


def population_like(
    settings: Settings, history: History, seed: int, customers: int | None, days: float | None
) -> tuple[Population, str]:
    """Read a history and fit a population to it; returns it, and what it is like in a line.

    Parameters
    ----------
    settings
        How events are read.
    history
        Not yet read.
    seed
        Of the population.
    customers, days
        Its size and length; those of the history by default.

    Raises
    ------
    ConfigurationError
        Where the history is too short.
    typer.Exit
        Where it cannot be read to its end.
    """
    likeness, cleaning, refused = Likeness(), Cleaning.of(settings), 0
    with progress_bar(lambda: history.stage("reading")):
        for step in history.steps(None, settings):
            if isinstance(step, Send):
                try:
                    likeness.see(read_event(step.event.value, step.event.at, cleaning))
                except EventRejected:
                    refused += 1
    code = history.end()
    if code:
        raise typer.Exit(code)
    if refused:
        say(f"left out {counted(refused, 'event')} that the job would refuse")
    fitted = likeness.settings(seed=seed, customers=customers, days=days)
    said = ", ".join(f"{name} {getattr(fitted, name):.4g}" for name in SAID)
    return Population(fitted, likeness.season()), said
