"""`crm-online adopt`, `reset`, `backup` and `restore`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from streams import options

__all__ = ["adopt", "backup", "reset", "restore"]

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The folder of the backup.")]


def adopt(
    yes: Yes = False,
    json_: options.Json = False,
    kafka: options.Kafka = None,
    prefix: options.Prefix = None,
    set_: options.Set = None,
    settings_file: options.SettingsFile = None,
) -> None:
    """Go on with the state where the log is another one: topic made anew, partitions added.

    Examples:
      crm-online adopt
      crm-online adopt --yes --json

    Stop all workers first. Says what it will do, and asks. Where partitions
    were added, hold back producers meanwhile. An interrupted run is finished
    by the next one.

    Exits with 0 also where there is nothing to do.
    """
    settings = options.settings_of(settings_file, set_, kafka=kafka, app=prefix)
    from streams.upkeep.adopting import adopt as run

    raise typer.Exit(run(settings, yes=yes, json=json_))


def reset(
    yes: Yes = False,
    json_: options.Json = False,
    kafka: options.Kafka = None,
    prefix: options.Prefix = None,
    set_: options.Set = None,
    settings_file: options.SettingsFile = None,
) -> None:
    """Have all states and models computed anew from the events that are left.

    Examples:
      crm-online reset
      crm-online reset --yes

    Stop all workers first. What retention has taken is forgotten. The work
    itself is done by the workers that are started next.
    """
    settings = options.settings_of(settings_file, set_, kafka=kafka, app=prefix)
    from streams.upkeep.resetting import reset as run

    raise typer.Exit(run(settings, yes=yes, json=json_))


def backup(
    folder: Folder,
    json_: options.Json = False,
    kafka: options.Kafka = None,
    prefix: options.Prefix = None,
    set_: options.Set = None,
    settings_file: options.SettingsFile = None,
) -> None:
    """Copy all states and models into a folder.

    Examples:
      crm-online backup /backups/crm-$(date +%F)
      crm-online backup before --json | jq .

    Stop the workers first for a copy that goes on exactly.
    """
    settings = options.settings_of(settings_file, set_, kafka=kafka, app=prefix)
    from streams.upkeep.backing_up import back_up as run

    raise typer.Exit(run(settings, folder, json=json_))


def restore(
    folder: Folder,
    json_: options.Json = False,
    kafka: options.Kafka = None,
    prefix: options.Prefix = None,
    set_: options.Set = None,
    settings_file: options.SettingsFile = None,
) -> None:
    """Write a backup onto a broker whose topics are empty; crm-online adopt comes next.

    Examples:
      crm-online restore /backups/crm-2026-03-01 && crm-online adopt --yes

    Needs the CRM_SIGNING_KEY and CRM_PARTITIONS of the backup.
    """
    settings = options.settings_of(settings_file, set_, kafka=kafka, app=prefix)
    from streams.upkeep.restoring import put_back as run

    raise typer.Exit(run(settings, folder, json=json_))
