"""`crm-online evaluate`: churn, value, segments and next items on any history."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from streams import options

__all__ = ["evaluate_app"]

evaluate_app = typer.Typer(
    name="evaluate",
    help="Measure on a file how good the predictions are, beside what else could be run.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)

Horizon = Annotated[
    float | None,
    typer.Option(
        "--horizon-days",
        metavar="DAYS",
        help="How far ahead predictions look; without this, the setting horizon_days.",
        show_default=False,
    ),
]
Sweep = Annotated[
    float | None,
    typer.Option(
        "--sweep-days",
        metavar="DAYS",
        help="Each customer is predicted, and batch models are trained anew, so often; without "
        "this, the setting prediction_interval_days.",
        show_default=False,
    ),
]
Baselines = Annotated[
    bool, typer.Option("--baselines", help="Rate what else could be run on the same predictions.")
]
Plot = Annotated[
    Path | None,
    typer.Option(
        "--plot", metavar="FILE", help="Draw it: a .png or .svg file.", show_default=False
    ),
]


@evaluate_app.command()
def churn(
    file: options.File,
    format_: options.Format = "segment",
    horizon_days: Horizon = None,
    sweep_days: Sweep = None,
    baselines: Baselines = False,
    plot: Plot = None,
    json_: options.Json = False,
    order: options.Order = None,
    max_ahead: options.MaxAhead = None,
    customer: options.Customer = None,
    at: options.At = None,
    item: options.Item = None,
    amount: options.Amount = None,
    kind: options.Kind = None,
    set_: options.Set = None,
    settings_file: options.SettingsFile = None,
) -> None:
    """Rate churn predictions: each made before its label was known, none left out afterwards.

    Examples:
      crm-online evaluate churn events.jsonl
      crm-online evaluate churn events.jsonl --baselines --plot churn.svg
      crm-online evaluate churn sales.csv --format csv --customer client --at day
      crm-online evaluate churn retail.csv.gz --format online-retail --json

    Exits with 1 where the file is cut short or holds no event, with 2 where there is
    nothing to rate.
    """
    from streams.evaluating.churn import rate_churn
    from streams.evaluating.request import FileOptions, request
    from streams.steps import ColumnNames

    columns = ColumnNames(customer, at, item, amount, kind)
    given = FileOptions(file, format_, order, max_ahead, columns)
    asked = request(
        given, settings_file, set_, horizon_days=horizon_days, sweep_days=sweep_days, plot=plot
    )
    raise typer.Exit(rate_churn(asked, baselines=baselines, json=json_))


@evaluate_app.command()
def value(
    file: options.File,
    format_: options.Format = "segment",
    horizon_days: Horizon = None,
    sweep_days: Sweep = None,
    baselines: Baselines = False,
    plot: Plot = None,
    json_: options.Json = False,
    order: options.Order = None,
    max_ahead: options.MaxAhead = None,
    customer: options.Customer = None,
    at: options.At = None,
    item: options.Item = None,
    amount: options.Amount = None,
    kind: options.Kind = None,
    set_: options.Set = None,
    settings_file: options.SettingsFile = None,
) -> None:
    """Rate expected spend, as of `crm-online evaluate churn`.

    Examples:
      crm-online evaluate value events.jsonl --baselines
      crm-online evaluate value retail.csv.gz --format online-retail --json
      crm-online evaluate value f.csv --format csv --customer c --at t --amount a

    Exits as crm-online evaluate churn does.
    """
    from streams.evaluating.request import FileOptions, request
    from streams.evaluating.value import rate_value
    from streams.steps import ColumnNames

    columns = ColumnNames(customer, at, item, amount, kind)
    given = FileOptions(file, format_, order, max_ahead, columns)
    asked = request(
        given, settings_file, set_, horizon_days=horizon_days, sweep_days=sweep_days, plot=plot
    )
    raise typer.Exit(rate_value(asked, baselines=baselines, json=json_))


@evaluate_app.command()
def segments(
    file: options.File,
    format_: options.Format = "segment",
    horizon_days: Horizon = None,
    sweep_days: Sweep = None,
    plot: Plot = None,
    json_: options.Json = False,
    order: options.Order = None,
    max_ahead: options.MaxAhead = None,
    customer: options.Customer = None,
    at: options.At = None,
    item: options.Item = None,
    amount: options.Amount = None,
    kind: options.Kind = None,
    set_: options.Set = None,
    settings_file: options.SettingsFile = None,
) -> None:
    """Show how large segments are, how steady, who goes where, and what they are worth.

    Examples:
      crm-online evaluate segments events.jsonl --plot segments.svg
      crm-online evaluate segments retail.csv.gz --format online-retail
      crm-online evaluate segments sales.csv --format csv --customer who --at day

    Exits as crm-online evaluate churn does.
    """
    from streams.evaluating.request import FileOptions, request
    from streams.evaluating.segments import rate_segments
    from streams.steps import ColumnNames

    columns = ColumnNames(customer, at, item, amount, kind)
    given = FileOptions(file, format_, order, max_ahead, columns)
    asked = request(
        given, settings_file, set_, horizon_days=horizon_days, sweep_days=sweep_days, plot=plot
    )
    raise typer.Exit(rate_segments(asked, json=json_))


@evaluate_app.command()
def next_item(
    train: Annotated[
        Path, typer.Argument(metavar="TRAIN", help="Clicks to learn first; .gz is unpacked.")
    ],
    test: Annotated[Path, typer.Argument(metavar="TEST", help="Clicks to predict.")],
    plot: Plot = None,
    seed: Annotated[
        int, typer.Option(metavar="NUMBER", min=0, help="Of first weights and of what is drawn.")
    ] = 7,
    json_: options.Json = False,
) -> None:
    """Rate lists of next items: each click of a session should stand in the list before it.

    Examples:
      crm-online evaluate next-item train.tsv test.tsv
      crm-online evaluate next-item train.tsv.gz test.tsv.gz --json
      crm-online evaluate next-item train.tsv test.tsv --seed 1 --plot lists.svg

    The first line names the columns: session (session_id, SessionId), item
    (item_id, ItemId), and time or order (timestamp, pos). Rated once with nothing
    learned from TEST, and once learning on through it; beside a first-order
    Markov chain, item covisitation and popularity.

    Exits with 1 where a row cannot be read, with 2 where a column is missing.
    """
    from streams.evaluating.next_item import rate_next_item
    from streams.evaluating.request import check_plot

    check_plot(plot)
    raise typer.Exit(rate_next_item(train, test, seed=seed, plot=plot, json=json_))
