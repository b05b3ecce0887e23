"""Records that pass between scoring and acting, signed: treatments, and rules that take effect."""

from __future__ import annotations

from typing import Final

import msgspec

from crm_online.errors import EventRejected
from crm_online.internal import TICK_TYPE, check_signed, signed
from crm_online.log import Message, Record

__all__ = [
    "INTERNAL_TYPES",
    "RULES_KEY",
    "RULES_TYPE",
    "TREATMENT_TYPE",
    "Treatment",
    "read_rules",
    "read_treatment",
    "rules",
    "treatment",
]

TREATMENT_TYPE: Final = b"crm.treatment"
INTERNAL_TYPES: Final = frozenset({TICK_TYPE, TREATMENT_TYPE})  # on crm.events
RULES_TYPE: Final = b"crm.rules"  # on crm.scores
RULES_KEY: Final = b"\0rules"


class Treatment(msgspec.Struct, frozen=True):
    """An action was decided on: the customer's outcomes are to carry it.

    Parameters
    ----------
    customer
        Whom it is about; the record's key is the same.
    action_id, action, period
        As on ``crm.actions``.
    control
        The customer is in the control group: nothing was sent.
    at
        Event time of the decision, seconds.
    source
        Place on ``crm.scores``: epoch, offset, step, due, index.
    share
        Of customers who were to be control.
    first
        Of this action for this customer in the period.
    """

    customer: str
    action_id: str
    action: str
    period: str
    control: bool
    at: float
    source: tuple[int, int, int, float, int]
    share: float = 0.0
    first: bool = True


_encode: Final = msgspec.json.Encoder().encode
_decode_treatment: Final = msgspec.json.Decoder(Treatment, strict=True).decode


def treatment(key: bytes, treated: Treatment) -> Message:
    """Make the signed record of a decision, for the partition of ``crm.events`` of its customer.

    Examples
    --------
    >>> from crm_online.log import LogRecord
    >>> made = Treatment("c-1", "a1", "win-back", "660", False, 1.7e9, (0, 7, 1, 0.0, 0))
    >>> read_treatment(LogRecord(0, 0, *treatment(b"key", made)), b"key") == made
    True
    """
    return signed(key, TREATMENT_TYPE, treated.customer.encode(), _encode(treated))


def rules(key: bytes, text: bytes) -> Message:
    """Make the signed record at which a rule set takes effect, on a partition of ``crm.scores``.

    Examples
    --------
    >>> from crm_online.log import LogRecord
    >>> read_rules(LogRecord(0, 0, *rules(b"key", b"{}")), b"key")
    b'{}'
    """
    return signed(key, RULES_TYPE, RULES_KEY, text)


def read_rules(record: Record, key: bytes) -> bytes:
    """Return the rule set that takes effect at a record of ``crm.scores``.

    Raises
    ------
    EventRejected
        Where the signature is missing or wrong.
    """
    check_signed(record, key, RULES_TYPE)
    return record.value or b""


def read_treatment(record: Record, key: bytes) -> Treatment:
    """Read the record of a decision.

    Raises
    ------
    EventRejected
        Where the signature is missing or wrong, or the value is none.
    """
    check_signed(record, key, TREATMENT_TYPE)
    try:
        return _decode_treatment(record.value or b"")
    except msgspec.MsgspecError as error:
        raise EventRejected("malformed-internal-record", "a treatment cannot be read") from error
