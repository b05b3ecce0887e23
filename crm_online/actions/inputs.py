"""Records of ``crm.scores`` as `act` reads them: scores, ticks, rule sets, who is gone."""

from __future__ import annotations

import logging
from typing import Final, NamedTuple

import msgspec

from crm_online.actions.rules import RuleSet
from crm_online.deciding import RULES_KEY, read_rules
from crm_online.decoding import RecordDecoder
from crm_online.errors import EventRejected, SnapshotError
from crm_online.internal import TICK_KEY
from crm_online.log import Record
from crm_online.scores import ScoreUpdate

__all__ = ["Gone", "NewRules", "Read", "Tick", "read_record", "time_of"]

_log = logging.getLogger(__name__)


class Tick(msgspec.Struct, gc=False):
    """Event time moves on, seconds."""

    at: float


class NewRules(NamedTuple):
    """A rule set takes effect."""

    rules: RuleSet


class Gone(NamedTuple):
    """A customer has expired."""

    customer: str


Read = ScoreUpdate | Tick | NewRules | Gone
_decode: Final[RecordDecoder[ScoreUpdate]] = RecordDecoder("scores", ScoreUpdate)
_decode_tick: Final = msgspec.json.Decoder(Tick).decode


def read_record(record: Record, key: bytes) -> Read | None:
    """Read one record; ``None`` is none of ours, or nothing to act on.

    Parameters
    ----------
    record
        Of ``crm.scores``.
    key
        The signing key.

    Raises
    ------
    SnapshotError
        Where a newer version of the program wrote it.
    """
    try:
        return _read(record, key)
    except SnapshotError:
        raise
    except (EventRejected, msgspec.MsgspecError, ValueError) as error:
        what = error if isinstance(error, EventRejected) else type(error).__name__
        _log.error("no score that can be read at offset %d: %s", record.offset, what)
        return None


def _read(record: Record, key: bytes) -> Read | None:
    if record.key == RULES_KEY:
        return NewRules(RuleSet.model_validate_json(read_rules(record, key)))
    if record.key == TICK_KEY:
        return _decode_tick(record.value or b"")
    if record.key is None or record.key[:1] == b"\0":
        return None
    if record.value is None:
        return Gone(record.key.decode())
    return _decode(record.value)


def time_of(read: Read | None) -> float:
    """Return the event time of a record, seconds; 0 where it has none."""
    if isinstance(read, ScoreUpdate):
        return read.at.timestamp()
    return read.at if isinstance(read, Tick) else 0.0
