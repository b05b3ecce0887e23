"""The exception tree: what went wrong decides what happens next.

::

    CrmOnlineError
    ├── EventRejected        one event is unusable: to the dead letters, go on
    ├── SinkUnavailable      a sink is away: retry with backoff, commit nothing meanwhile
    ├── SnapshotError        stored state cannot be trusted: refuse to start
    ├── ConfigurationError   a setting is missing or wrong: refuse to start
    └── BrokerUnavailable    Kafka cannot be reached, or refused us

Messages name the operator's next action and carry ``topic[partition]@offset``, never
personal data.
"""

from __future__ import annotations

__all__ = [
    "BrokerUnavailable",
    "ConfigurationError",
    "CrmOnlineError",
    "EventRejected",
    "SinkUnavailable",
    "SnapshotError",
]


class CrmOnlineError(Exception):
    """Root of everything this project raises on purpose."""


class EventRejected(CrmOnlineError):
    """One event is unusable; it goes to the dead letters and the batch goes on.

    Parameters
    ----------
    reason
        Short machine-readable name of the broken rule, such as ``"malformed-json"``.
    message
        One sentence for people, free of personal data.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class SinkUnavailable(CrmOnlineError):
    """A sink did not answer within its bounded retries."""


class SnapshotError(CrmOnlineError):
    """Stored state is unreadable, unsigned, or newer than this program."""


class ConfigurationError(CrmOnlineError):
    """A setting is missing or wrong; the message names it."""


class BrokerUnavailable(CrmOnlineError):
    """Kafka cannot be reached, or refused the credentials."""
