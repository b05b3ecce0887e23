"""Internal records among those of the log: signed, told by ``ce_type``, under reserved keys."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from crm_online.errors import EventRejected, SnapshotError
from crm_online.log import Message, Record
from crm_online.signing import sign, verify

__all__ = [
    "DIRECTIVE_KEY",
    "DIRECTIVE_TYPE",
    "PROGRESS_KEY",
    "RESET_KEY",
    "RESET_TYPE",
    "TICK_KEY",
    "TICK_TYPE",
    "Directive",
    "Reset",
    "Tick",
    "ce_type",
    "check_signed",
    "directive",
    "read_directive",
    "read_reset",
    "read_tick",
    "reset",
    "signed",
    "tick",
]

TICK_TYPE: Final = b"crm.tick"
RESET_TYPE: Final = b"crm.reset"
DIRECTIVE_TYPE: Final = b"crm.models.directive"
TICK_KEY: Final = b"\0tick"
RESET_KEY: Final = b"\0reset"
DIRECTIVE_KEY: Final = b"\0directive"
PROGRESS_KEY: Final = b"\0progress"


class Tick(msgspec.Struct, frozen=True, omit_defaults=True):
    """Event time moves on though no event came.

    Parameters
    ----------
    at
        The event time reached, seconds; or
    lag_seconds
        how far event time is behind the tick's own Kafka timestamp.
    """

    at: float | None = None
    lag_seconds: float | None = None


class Reset(msgspec.Struct, frozen=True):
    """From here on, on a model's input, what was learned before does not count.

    Parameters
    ----------
    epoch
        The first of ``crm.events`` that counts.
    partitions
        How many ``crm.events`` has.
    """

    epoch: int
    partitions: int


class Directive(msgspec.Struct, frozen=True):
    """From here on, on the models' input, another contestant is champion.

    Parameters
    ----------
    model
        ``"churn"`` or ``"value"``.
    action
        ``"promote"`` the one named, or ``"rollback"`` to the champion before.
    name
        Of a contestant; ``""`` to roll back.
    """

    model: str
    action: Literal["promote", "rollback"]
    name: str = ""


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Tick, strict=True).decode
_decode_reset = msgspec.json.Decoder(Reset, strict=True).decode
_decode_directive = msgspec.json.Decoder(Directive, strict=True).decode


def ce_type(record: Record) -> bytes:
    """Return the type that a record's headers name; empty where they name none."""
    return dict(record.headers).get("ce_type", b"") if record.headers else b""


def tick(key: bytes, *, at: float | None = None, lag_seconds: float | None = None) -> Message:
    """Make a signed tick for one partition of ``crm.events``.

    Parameters
    ----------
    key
        The signing key.
    at, lag_seconds
        One of the two, as in `Tick`.
    """
    return signed(key, TICK_TYPE, TICK_KEY, _encode(Tick(at, lag_seconds)))


def reset(key: bytes, epoch: int, partitions: int) -> Message:
    """Make the signed record at which models start anew.

    Parameters
    ----------
    key
        The signing key.
    epoch, partitions
        As in `Reset`.

    Examples
    --------
    >>> from crm_online.log import LogRecord
    >>> read_reset(LogRecord(0, 0, *reset(b"key", 1, 8)), b"key")
    Reset(epoch=1, partitions=8)
    """
    return signed(key, RESET_TYPE, RESET_KEY, _encode(Reset(epoch, partitions)))


def directive(key: bytes, model: str, action: Literal["promote", "rollback"], name: str) -> Message:
    """Make the signed record by which an operator changes the champion.

    Parameters
    ----------
    key
        The signing key.
    model, action, name
        As in `Directive`.

    Examples
    --------
    >>> from crm_online.log import LogRecord
    >>> read_directive(LogRecord(0, 0, *directive(b"key", "churn", "promote", "forest")), b"key")
    Directive(model='churn', action='promote', name='forest')
    """
    value = _encode(Directive(model, action, name))
    return signed(key, DIRECTIVE_TYPE, DIRECTIVE_KEY, value)


def read_tick(record: Record, key: bytes) -> float:
    """Return the event time that a tick stands for, seconds.

    Raises
    ------
    EventRejected
        Where the signature is missing or wrong, or the value is no tick.
    """
    check_signed(record, key, TICK_TYPE)
    try:
        read = _decode(record.value or b"")
    except msgspec.MsgspecError as error:
        raise EventRejected("malformed-internal-record", "a tick holds no valid time") from error
    if read.at is not None:
        return read.at
    if read.lag_seconds is None:
        raise EventRejected("malformed-internal-record", "a tick holds no valid time")
    return record.timestamp / 1000.0 - read.lag_seconds


def read_reset(record: Record, key: bytes) -> Reset | None:
    """Read the record at which models start anew, or return ``None`` for any other.

    Raises
    ------
    SnapshotError
        Where it is not signed with our key, or cannot be read.
    """
    if record.key != RESET_KEY or ce_type(record) != RESET_TYPE:
        return None
    if not _is_signed(record, key, RESET_TYPE):
        raise SnapshotError(
            f"the reset at offset {record.offset} of a model's input is not signed with our key: "
            "give every worker and command the same CRM_SIGNING_KEY, or find out who else writes "
            "to the topic"
        )
    try:
        return _decode_reset(record.value or b"")
    except msgspec.MsgspecError as error:
        raise _unreadable(record, "reset") from error


def read_directive(record: Record, key: bytes) -> Directive | None:
    """Read the record by which an operator changes the champion, or return ``None``.

    Raises
    ------
    EventRejected
        Where it is not signed with our key: what anyone may write must not stop the learner.
    SnapshotError
        Where it cannot be read.
    """
    if record.key != DIRECTIVE_KEY or ce_type(record) != DIRECTIVE_TYPE:
        return None
    if not _is_signed(record, key, DIRECTIVE_TYPE):
        raise EventRejected(
            "unsigned-internal-record",
            "a directive carries no valid signature (CRM_SIGNING_KEY): nothing came of it",
        )
    try:
        return _decode_directive(record.value or b"")
    except msgspec.MsgspecError as error:
        raise _unreadable(record, "directive") from error


def _unreadable(record: Record, noun: str) -> SnapshotError:
    return SnapshotError(
        f"the {noun} at offset {record.offset} of a model's input is none that this version "
        "reads; start the newer crm-online"
    )


def signed(key: bytes, kind: bytes, name: bytes, value: bytes) -> Message:
    """Make a signed record of a kind, under a name."""
    signature = sign(key, kind, value).encode()
    return Message(name, value, [("ce_type", kind), ("ce_signature", signature)])


def check_signed(record: Record, key: bytes, kind: bytes) -> None:
    """Refuse an internal record of a kind that is not signed with our key.

    Raises
    ------
    EventRejected
        Where the signature is missing or wrong.
    """
    if not _is_signed(record, key, kind):
        raise EventRejected(
            "unsigned-internal-record",
            "an internal record carries no valid signature (CRM_SIGNING_KEY)",
        )


def _is_signed(record: Record, key: bytes, kind: bytes) -> bool:
    signature = dict(record.headers).get("ce_signature", b"")
    return verify(key, signature, kind, record.value or b"")
