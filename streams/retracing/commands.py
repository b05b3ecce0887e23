"""`crm-online features` and `crm-online consistency`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from streams import options

__all__ = ["consistency", "features"]

File = Annotated[
    Path | None,
    typer.Argument(metavar="[FILE]", help="The history; .gz is unpacked.", show_default=False),
]
Topic = Annotated[bool, typer.Option("--topic", help="Read the events topic, to its present end.")]
Parquet = Annotated[Path, typer.Option("--output", metavar="FILE", help="The Parquet file.")]


def features(
    output: Parquet,
    file: File = None,
    topic: Topic = False,
    format_: options.Format = "segment",
    order: options.Order = None,
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
    """Write the features of every score of a history as Parquet, to train or to look.

    Examples:
      crm-online features events.jsonl.gz --output features.parquet
      crm-online features log.csv.gz --format rees46 --output features.parquet
      crm-online features --topic --output features.parquet

    They are those that the service has for the same events, to the last bit. Takes
    the extra evaluate.
    """
    settings = options.settings_of(settings_file, set_, kafka=kafka, app=prefix)
    from streams.retracing.writing import write_features_of_file, write_features_of_topic
    from streams.steps import ColumnNames, open_history

    if (file is None) is not topic:
        raise typer.BadParameter("name either a FILE or --topic", param_hint="FILE")
    if file is None:
        raise typer.Exit(write_features_of_topic(settings, output, json=json_))
    history = open_history(file, format_, ColumnNames(customer, at, item, amount, kind), order)
    raise typer.Exit(write_features_of_file(settings, history, output, json=json_))


def consistency(
    json_: options.Json = False,
    kafka: options.Kafka = None,
    prefix: options.Prefix = None,
    set_: options.Set = None,
    settings_file: options.SettingsFile = None,
) -> None:
    """Compare the features behind the published scores with those of the log, read anew.

    Examples:
      crm-online consistency
      crm-online consistency --json | jq .differences

    Reads the events topic from its beginning, so nothing of it may have been
    removed, and the settings must be those of the workers. Exits with 1 where
    anything differs.
    """
    settings = options.settings_of(settings_file, set_, kafka=kafka, app=prefix)
    from streams.retracing.comparing import check_consistency

    raise typer.Exit(check_consistency(settings, json=json_))
