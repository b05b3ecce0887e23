"""`crm-online uplift`."""

from __future__ import annotations

import typer

from streams import options

__all__ = ["uplift"]


def uplift(
    json_: options.Json = False,
    kafka: options.Kafka = None,
    prefix: options.Prefix = None,
    set_: options.Set = None,
    settings_file: options.SettingsFile = None,
) -> None:
    """Show what actions do: those who got them against those held out.

    Examples
    --------
      crm-online uplift
      crm-online uplift --json | jq '.[].effects'

    Look as often as you like: the intervals hold at all times together.
    Exits with 1 where no outcome of an action is known yet.
    """
    settings = options.settings_of(settings_file, set_, kafka=kafka, app=prefix)
    from streams.uplift.showing import show_uplift

    raise typer.Exit(show_uplift(settings, json=json_))
