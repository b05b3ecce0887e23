"""Removes what a run has left on servers that are not its own."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from redis import Redis, RedisError

from streams.connection import admin_options
from streams.topics import plan

if TYPE_CHECKING:
    from crm_online.settings import Settings
    from streams.verify.servers import Servers

__all__ = ["remove_all"]

ROLES: Final = ("score", "learn", "cache", "act")
TIMEOUT_SECONDS: Final = 30.0
GRACE_SECONDS: Final = 10.0
POLL_SECONDS: Final = 0.5
AT_ONCE: Final = 1000
NEVER_MADE: Final = frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.GROUP_ID_NOT_FOUND})


def remove_all(servers: Servers) -> list[str]:
    """Remove topics, groups and keys of the run; its own servers take theirs with them.

    Returns
    -------
    list of str
        A sentence on each thing that stayed.
    """
    stayed: list[str] = []
    if servers.broker is None:
        stayed += _remove_from_kafka(servers.settings)
    if servers.cache is None:
        stayed += _remove_keys(servers.settings)
    return stayed


def _remove_from_kafka(settings: Settings) -> Iterator[str]:
    admin = AdminClient(admin_options(settings) | {"log_level": 0})
    topics = [topic.name for topic in plan(settings)]
    removing = admin.delete_topics(topics, operation_timeout=TIMEOUT_SECONDS)
    yield from _told("topic", dict(_failures(removing)))
    groups = [f"{settings.app}-{role}" for role in ROLES]
    # Members that were killed count as members until their session times out.
    deadline = time.monotonic() + settings.session_timeout_seconds + GRACE_SECONDS
    while True:
        left = dict(_failures(admin.delete_consumer_groups(groups)))
        groups = [name for name, why in left.items() if why.code() == KafkaError.NON_EMPTY_GROUP]
        if not groups or time.monotonic() > deadline:
            break
        time.sleep(POLL_SECONDS)
    yield from _told("group", left)


def _failures(removing: Mapping[str, Any]) -> Iterator[tuple[str, KafkaError]]:
    for name, future in removing.items():
        try:
            future.result(TIMEOUT_SECONDS)
        except KafkaException as error:
            if error.args[0].code() not in NEVER_MADE:
                yield name, error.args[0]
        except TimeoutError:
            yield name, KafkaError(KafkaError._TIMED_OUT)  # noqa: SLF001 - its name


def _told(kind: str, left: Mapping[str, KafkaError]) -> Iterator[str]:
    for name, why in left.items():
        yield f"the {kind} {name} stayed on your broker ({why.str()}): remove it by hand"


def _remove_keys(settings: Settings) -> Iterator[str]:
    try:
        with Redis.from_url(settings.redis.get_secret_value()) as client:
            names = list(client.scan_iter(f"{settings.app}:*", count=AT_ONCE))
            for first in range(0, len(names), AT_ONCE):
                client.unlink(*names[first : first + AT_ONCE])
    except RedisError as error:
        yield (
            f"keys that begin with {settings.app}: stayed in your Redis ({type(error).__name__}): "
            "remove them by hand"
        )
