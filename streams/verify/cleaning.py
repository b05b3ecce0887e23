"""Removes what a run has left on servers that are not its own."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from redis import Redis, RedisError

from streams.connection import admin_options
from streams.topics import plan

if TYPE_CHECKING:
    from streams.verify.servers import Servers

__all__ = ["remove_all"]

ROLES: Final = ("score", "learn", "cache")
TIMEOUT_SECONDS: Final = 30.0
AT_ONCE: Final = 1000


def remove_all(servers: Servers) -> None:
    """Remove topics, groups and keys of the run; its own servers take theirs with them."""
    settings = servers.settings
    if servers.broker is None:
        admin = AdminClient(admin_options(settings) | {"log_level": 0})
        topics = [topic.name for topic in plan(settings)]
        groups = [f"{settings.app}-{role}" for role in ROLES]
        removing = [
            *admin.delete_topics(topics, operation_timeout=TIMEOUT_SECONDS).values(),
            *admin.delete_consumer_groups(groups).values(),
        ]
        for each in removing:
            with suppress(KafkaException):  # never made
                each.result(TIMEOUT_SECONDS)
    if servers.cache is None:
        with (
            suppress(RedisError),
            Redis.from_url(settings.redis.get_secret_value()) as client,
        ):
            names = list(client.scan_iter(f"{settings.app}:*", count=AT_ONCE))
            for first in range(0, len(names), AT_ONCE):
                client.unlink(*names[first : first + AT_ONCE])
