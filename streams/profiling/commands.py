"""`crm-online profile`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from streams import options

__all__ = ["profile"]

File = Annotated[
    Path | None,
    typer.Argument(metavar="[FILE]", help="The history; .gz is unpacked.", show_default=False),
]
Topic = Annotated[bool, typer.Option("--topic", help="Read the events topic, to its present end.")]
Html = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Write one page with plots, too.", show_default=False),
]


def profile(
    file: File = None,
    topic: Topic = False,
    format_: options.Format = "segment",
    html: Html = None,
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
    """Show what is in a history before anyone trusts a score: events, fields, times, repeats.

    Examples:
      crm-online profile events.jsonl.gz
      crm-online profile log.csv.gz --format rees46 --html page.html
      crm-online profile --topic --json | jq .findings

    Exits with 1 where there is no event.
    """
    settings = options.settings_of(settings_file, set_, kafka=kafka, app=prefix)
    from streams.profiling.reading import profile_file, profile_topic
    from streams.profiling.showing import show_profile
    from streams.steps import ColumnNames, open_history

    if (file is None) is not topic:
        raise typer.BadParameter("name either a FILE or --topic", param_hint="FILE")
    if file is None:
        found, code = profile_topic(settings), 0
    else:
        names = ColumnNames(customer, at, item, amount, kind)
        history = open_history(file, format_, names, "arrival")
        found, code = profile_file(settings, history)
    raise typer.Exit(show_profile(found, json=json_, html=html) or code)
