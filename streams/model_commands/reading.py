"""The newest live metrics of each kind, read from the end of their topic."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import msgspec

from crm_online.errors import ConfigurationError
from crm_online.internal import ce_type
from crm_online.metrics import ContestUpdate, DriftUpdate, QualityUpdate, UpliftUpdate
from crm_online.models.snapshots import read_manifest
from streams.exits import counted, say
from streams.topics import partition_count
from streams.upkeep.scanning import Scan
from streams.upkeep.work import Work

if TYPE_CHECKING:
    from crm_online.log import Record
    from crm_online.settings import Settings

__all__ = ["Live", "check_key", "read_live"]

LOOK_BACK: Final = 2_000  # records; the learner writes about a dozen at once

_quality = msgspec.json.Decoder(QualityUpdate).decode
_contest = msgspec.json.Decoder(ContestUpdate).decode
_drift = msgspec.json.Decoder(DriftUpdate).decode
_uplift = msgspec.json.Decoder(UpliftUpdate).decode


@dataclass(slots=True)
class Live:
    """What the learner said last.

    Parameters
    ----------
    contests
        By model.
    quality
        By model and window.
    drift
        None before the first.
    uplift
        By action.
    unreadable
        Records that were none of this version's.
    """

    contests: dict[str, ContestUpdate] = field(default_factory=dict)
    quality: dict[tuple[str, str], QualityUpdate] = field(default_factory=dict)
    drift: DriftUpdate | None = None
    uplift: dict[str, UpliftUpdate] = field(default_factory=dict)
    unreadable: int = 0

    def apply(self, records: Iterable[Record]) -> None:
        """Take records of the topic, in order; what cannot be read is passed over."""
        for record in records:
            try:
                self.take(record)
            except msgspec.MsgspecError:
                self.unreadable += 1

    def take(self, record: Record) -> None:
        """Take one record; those of other roles, and tombstones, are passed over.

        Raises
        ------
        msgspec.MsgspecError
            Where it cannot be read.
        """
        kind, value = ce_type(record), record.value
        if value is None:
            return
        if kind == b"crm.contest.updated":
            contest = _contest(value)
            self.contests[contest.model] = contest
        elif kind == b"crm.quality.updated":
            quality = _quality(value)
            self.quality[quality.model, quality.window] = quality
        elif kind == b"crm.drift.updated":
            self.drift = _drift(value)
        elif kind == b"crm.uplift.updated":
            uplift = _uplift(value)
            self.uplift[uplift.action] = uplift

    def contest(self, settings: Settings, model: str) -> ContestUpdate:
        """Return the contest of one model.

        Raises
        ------
        ConfigurationError
            Where there is no such model, or the learner has said nothing yet.
        """
        if model not in {"churn", "value"}:
            raise ConfigurationError(f"there is no contest of {model!r}: name churn or value")
        if model not in self.contests:
            raise ConfigurationError(
                f"{settings.topic('metrics')} says nothing of {model} yet: start "
                "`crm-online worker --roles learn`, and wait for the first outcomes"
            )
        return self.contests[model]


async def read_live(settings: Settings) -> Live:
    """Read the newest live metrics.

    Raises
    ------
    BrokerUnavailable
        Where no broker answers, or it refuses us.
    ConfigurationError
        Where the topic is not there.
    """
    live = Live()
    partition_count(settings, "metrics")
    async with Scan(settings, Work()) as scan:
        ((low, end),) = (await scan.bounds("metrics", 1)).values()
        start = max(low, end - LOOK_BACK)
        for span in ((start, end), (low, start)):
            if span[0] < span[1] and not live.contests:
                async for _, records in scan.read("metrics", {0: span}, "reading"):
                    live.apply(records)
    if live.unreadable:
        say(
            f"{settings.topic('metrics')} holds {counted(live.unreadable, 'record')} that this "
            "version cannot read: start a newer crm-online to see what is left out here"
        )
    return live


async def check_key(settings: Settings) -> None:
    """See that the newest snapshots are signed with our key.

    Raises
    ------
    SnapshotError
        Where one is not.
    """
    key = settings.signing_key.get_secret_value().encode()
    manifests: dict[str, bytes] = {}
    async with Scan(settings, Work()) as scan:
        bounds = await scan.bounds("models", 1)
        async for _, records in scan.read("models", bounds, "reading"):
            for record in records:
                if record.key and record.value and b"/" not in record.key:  # no chunk
                    manifests[record.key.decode()] = record.value
    for name, manifest in manifests.items():
        read_manifest(name, manifest, key)
