"""Whether a worker on this machine is in its consumer group: the container's health check.

``python -m streams.membership score`` exits with 0 where it is.
"""

from __future__ import annotations

import socket
import sys
from typing import Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from crm_online.settings import Settings
from streams.configuration import load
from streams.connection import admin_options

__all__ = ["is_member", "main"]

TIMEOUT_SECONDS: Final = 5.0


def is_member(settings: Settings, role: str, address: str) -> bool:
    """Ask Kafka, which drops a worker whose loop stands still or that hangs.

    Parameters
    ----------
    settings
        Say where Kafka is.
    role
        One of ``score``, ``learn``, ``cache``.
    address
        The worker's IP address as Kafka sees it.
    """
    admin = AdminClient({**admin_options(settings), "log_level": 2})
    group = f"{settings.app}-{role}"
    found = admin.describe_consumer_groups([group], request_timeout=TIMEOUT_SECONDS)[group]
    try:
        members = found.result(2 * TIMEOUT_SECONDS).members
    except (KafkaException, TimeoutError):
        return False
    return any(member.host.strip("/") == address for member in members)


def main() -> None:
    """Exit with 0 where a worker of the named role on this machine is in its group, else with 1."""
    own = socket.gethostbyname(socket.gethostname())
    sys.exit(not is_member(load(), sys.argv[1], own))


if __name__ == "__main__":
    main()
