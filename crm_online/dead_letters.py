"""Dead letters: the rejected bytes, with reason and source in headers as Kafka Streams names them.

References
----------
KIP-1034 (dead letter queue in Kafka Streams): the ``__streams.errors.*`` headers.
"""

from __future__ import annotations

from typing import Final

from crm_online import events
from crm_online.errors import EventRejected
from crm_online.log import Message, Record

__all__ = ["MAX_BYTES", "REASONS", "dead_letter"]

MAX_BYTES: Final = 512 * 1024
# Of customers' events, of keys, and of internal records.
REASONS: Final = frozenset(
    {*events.REASONS, "reserved-key", "malformed-internal-record", "unsigned-internal-record"}
)


def dead_letter(record: Record, rejection: EventRejected, topic: str, partition: int) -> Message:
    """Make the dead letter of one record.

    Parameters
    ----------
    record
        As it was read.
    rejection
        Why it was refused; free of personal data.
    topic, partition
        Where it was read.
    """
    value = record.value or b""
    headers = [
        ("__streams.errors.exception", f"EventRejected:{rejection.reason}".encode()),
        ("__streams.errors.message", rejection.message.encode()),
        ("__streams.errors.topic", topic.encode()),
        ("__streams.errors.partition", str(partition).encode()),
        ("__streams.errors.offset", str(record.offset).encode()),
    ]
    if len(value) > MAX_BYTES:
        headers.append(("__streams.errors.truncated", str(len(value)).encode()))
    return Message(record.key, value[:MAX_BYTES], headers)
