"""What `crm-online items load` does: all of a file onto the items topic, or nothing of it."""

from __future__ import annotations

import asyncio
import json as json_module
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from crm_online.catalogue import CatalogueItem
from crm_online.errors import CrmOnlineError
from streams.exits import counted, say
from streams.items.files import CatalogueFile, read_catalogue
from streams.items.topic import read_items, write_items
from streams.progress import progress_bar
from streams.upkeep.work import Work

if TYPE_CHECKING:
    from crm_online.settings import Settings

__all__ = ["Changes", "changes", "load_items"]

_NAMED: Final = 5


class Changes(NamedTuple):
    """What a file changes in a catalogue.

    Parameters
    ----------
    new, changed
        Items to be written since the catalogue has them not, or otherwise.
    withdrawn
        Items that are written as not available, since the file does not hold them.
    same
        How many stay as they are.
    """

    new: list[CatalogueItem]
    changed: list[CatalogueItem]
    withdrawn: list[CatalogueItem]
    same: int

    @property
    def written(self) -> list[CatalogueItem]:
        """All that has to be written."""
        return self.new + self.changed + self.withdrawn


def changes(
    standing: Mapping[str, CatalogueItem], items: Mapping[str, CatalogueItem], *, replace: bool
) -> Changes:
    """Compare a file with what stands on the topic.

    Parameters
    ----------
    standing, items
        By id: what is there, what shall be.
    replace
        Whether what the file does not hold is withdrawn.

    Examples
    --------
    >>> mug, pot = CatalogueItem("mug"), CatalogueItem("pot")
    >>> [item.item_id for item in changes({"mug": mug}, {"pot": pot}, replace=True).withdrawn]
    ['mug']
    """
    new = [item for name, item in items.items() if name not in standing]
    changed = [i for name, i in items.items() if name in standing and standing[name] != i]
    left = [i for name, i in standing.items() if replace and name not in items and i.available]
    withdrawn = [msgspec.structs.replace(item, available=False) for item in left]
    return Changes(new, changed, withdrawn, len(items) - len(new) - len(changed))


def load_items(
    settings: Settings,
    path: Path,
    *,
    format_: str | None = None,
    columns: Mapping[str, str | None] | None = None,
    replace: bool = False,
    dry_run: bool = False,
    json: bool = False,
) -> int:
    """Load a catalogue file; returns the exit code.

    Parameters
    ----------
    settings
        Of the whole program.
    path, format_, columns
        As `read_catalogue` takes them.
    replace
        Withdraw what stands on the topic and not in the file.
    dry_run
        Check the file only.
    json
        Print JSON in place of a sentence.

    Raises
    ------
    CrmOnlineError
        Where anything in the file is wrong, or nothing is in it; nothing was written then.
    ConfigurationError
        Where the file is none, or does not have the columns.
    BrokerUnavailable
        Where no broker answers.
    """
    read = read_catalogue(path, format_, columns)
    _refuse(read, path)
    found = None if dry_run else asyncio.run(_load(settings, read, replace=replace))
    if json:
        sys.stdout.write(json_module.dumps(_figures(read, found), indent=2) + "\n")
    else:
        say(_sentence(path, read, found))
    return 0


def _refuse(read: CatalogueFile, path: Path) -> None:
    if read.problems:
        lines = read.problem_lines
        shown = [each for each in read.problems if each.line in lines[:_NAMED]]
        more = len(lines) - _NAMED
        raise CrmOnlineError(
            f"nothing was loaded: {counted(len(lines), 'row')} of {path.name} must be mended: "
            f"{'; '.join(map(str, shown))}{f'; and {more:,} more' if more > 0 else ''}"
        )
    if not read.items:
        raise CrmOnlineError(f"nothing was loaded: {path.name} holds no item")


async def _load(settings: Settings, read: CatalogueFile, *, replace: bool) -> Changes:
    work = Work()
    with progress_bar(work.stage):
        standing = await read_items(settings, work)
        found = changes(standing, read.items, replace=replace)
        work.begin("writing", 0)
        await write_items(settings, found.written)
    return found


def _figures(read: CatalogueFile, found: Changes | None) -> dict[str, int | bool]:
    about: dict[str, int | bool] = {
        "items": len(read.items),
        "duplicates": read.duplicates,
        "unavailable": sum(not item.available for item in read.items.values()),
        "dry_run": found is None,
    }
    if found is None:
        return about
    counts = {"new": found.new, "changed": found.changed, "withdrawn": found.withdrawn}
    return about | {name: len(items) for name, items in counts.items()} | {"same": found.same}


def _sentence(path: Path, read: CatalogueFile, found: Changes | None) -> str:
    gone = sum(not item.available for item in read.items.values())
    parts = [f"{counted(len(read.items), 'item')} in {path.name}", f"{gone:,} not available"]
    if read.duplicates:
        parts.append(f"{counted(read.duplicates, 'row')} replaced by later ones of the same id")
    if found is None:
        return ", ".join(parts) + "; all are right, nothing was written"
    done = f"{len(found.new):,} new, {len(found.changed):,} changed, {found.same:,} as they were"
    if found.withdrawn:
        done += f", {len(found.withdrawn):,} withdrawn"
    return ", ".join(parts) + f"; {done}"
