"""What all evaluations of a history are given, checked before any work is done."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from crm_online.customers.state import DAY
from crm_online.errors import ConfigurationError
from crm_online.evaluation.extras import require
from crm_online.simulation.ordering import Order
from streams import options
from streams.steps import ColumnNames, History, open_history, parse_max_ahead

if TYPE_CHECKING:
    from crm_online.settings import Settings

__all__ = ["FileOptions", "Request", "check_plot", "request"]

_PICTURES: Final = (".png", ".svg")


class FileOptions(NamedTuple):
    """The options that say what the file is."""

    file: Path
    format_: str
    order: Order | None
    max_ahead: str | None
    columns: ColumnNames


class Request(NamedTuple):
    """A history, ready to be replayed, and how.

    Parameters
    ----------
    settings
        Of the whole program; horizon and interval as the flags say.
    history
        From `open_history`.
    max_ahead_seconds
        Event time between barriers; None for none.
    plot
        Where to draw, if anywhere.
    """

    settings: Settings
    history: History
    max_ahead_seconds: float | None
    plot: Path | None

    @property
    def sweep_seconds(self) -> float:
        """From one training of batch models to the next."""
        return self.settings.prediction_interval_days * DAY


def request(
    given: FileOptions,
    settings_file: Path | None,
    pairs: list[str] | None,
    *,
    horizon_days: float | None = None,
    sweep_days: float | None = None,
    plot: Path | None = None,
) -> Request:
    """Check the options, and open the file.

    Raises
    ------
    ConfigurationError
        Where one is wrong, or a package of the extra ``evaluate`` is missing.
    """
    require("sklearn", purpose="crm-online evaluate")
    check_plot(plot)
    settings = options.settings_of(
        settings_file, pairs, horizon_days=horizon_days, prediction_interval_days=sweep_days
    )
    ahead = parse_max_ahead(given.max_ahead, settings)
    history = open_history(given.file, given.format_, given.columns, given.order)
    return Request(settings, history, ahead, plot)


def check_plot(plot: Path | None) -> None:
    """Refuse a picture that cannot be drawn, before hours are spent on what it shows."""
    if plot is None:
        return
    if plot.suffix.lower() not in _PICTURES:
        raise ConfigurationError(f"--plot takes a name that ends in {' or '.join(_PICTURES)}")
    if not plot.parent.is_dir():
        raise ConfigurationError(f"--plot: there is no folder {plot.parent}")
    if plot.is_dir() or not os.access(plot if plot.exists() else plot.parent, os.W_OK):
        raise ConfigurationError(f"--plot: {plot} cannot be written")
    require("matplotlib", purpose="--plot")
