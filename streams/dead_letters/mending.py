"""Whether an event may be put back: what would be refused again is refused here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from crm_online.cleaning import Cleaning, read_event
from crm_online.errors import EventRejected
from crm_online.events import CustomerEvent

if TYPE_CHECKING:
    from crm_online.settings import Settings
    from streams.dead_letters.letters import Letter

__all__ = ["Mended", "mend"]


@dataclass(frozen=True, slots=True)
class Mended:
    """An event that the scorer will accept.

    Parameters
    ----------
    letter
        What it was.
    customer
        Whose it is: its key.
    value
        Segment-spec JSON with a ``messageId``.
    at
        Event time, seconds since 1970.
    """

    letter: Letter
    customer: str
    value: bytes
    at: float


def mend(letter: Letter, value: bytes, settings: Settings, now: float) -> Mended:
    """Check an event as the scorer will; one without a ``messageId`` gets that of its letter.

    Parameters
    ----------
    letter
        The letter that it is put back for.
    value
        The event; the rest of it stays as it is, to the digit.
    settings
        Those of the scorer.
    now
        About what its Kafka timestamp will be, seconds since 1970.

    Raises
    ------
    EventRejected
        With the reason that still holds.
    """
    event = _parse(value, settings, now)
    if not event.message_id:
        value = _named(value, letter.message_id())
        event = _parse(value, settings, now)
    return Mended(letter, event.customer, value, event.at)


def _parse(value: bytes, settings: Settings, now: float) -> CustomerEvent:
    return read_event(value, now, Cleaning.of(settings))


def _named(value: bytes, message_id: str) -> bytes:
    try:
        fields = _fields(value)
    except msgspec.MsgspecError as error:
        # What the scorer accepts, such as a broken name of a field that it skips, may fail here.
        raise EventRejected(
            "missing-id", f"no messageId can be added ({error}): add one by hand"
        ) from error
    fields["messageId"] = msgspec.Raw(msgspec.json.encode(message_id))
    return msgspec.json.encode(fields)


_fields: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
