"""Servers and names that tests share."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, settings
from redis import Redis

from streams.embedded import MockBroker, RealKafka, Valkey, kafka_available

CI = os.environ.get("CI") == "true"

# Timings of a busy machine say nothing about a property; CI repeats the same examples.
settings.register_profile("local", deadline=None)
settings.register_profile(
    "ci",
    deadline=None,
    derandomize=True,
    database=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("long", deadline=None, max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if CI else "local"))


@pytest.fixture(autouse=True)
def own_logs() -> Iterator[None]:
    """Take back what a command run in this process sets up: its stream is closed with the test."""
    root = logging.getLogger()
    before, level, disabled = root.handlers[:], root.level, logging.root.manager.disable
    yield
    root.handlers[:] = before
    root.setLevel(level)
    logging.disable(disabled)


@pytest.fixture
def app() -> str:
    """Prefix of topics, groups and keys that no other test has."""
    return f"t{uuid4().hex[:12]}"


@pytest.fixture(scope="session")
def mock_broker() -> Iterator[MockBroker]:
    """One mock cluster for all tests."""
    with MockBroker() as broker:
        yield broker


@pytest.fixture(scope="session")
def real_kafka() -> Iterator[RealKafka]:
    """One real Kafka for all tests; those that harm it take `own_kafka`."""
    _need_kafka()
    with RealKafka() as broker:
        yield broker


@pytest.fixture
def own_kafka() -> Iterator[RealKafka]:
    """A real Kafka for one test, to be killed and restarted."""
    _need_kafka()
    with RealKafka() as broker:
        yield broker


@pytest.fixture(params=["mock", pytest.param("real", marks=pytest.mark.real)])
def broker(request: pytest.FixtureRequest) -> MockBroker | RealKafka:
    """Every broker there is, one after the other."""
    fixture = "mock_broker" if request.param == "mock" else "real_kafka"
    found: MockBroker | RealKafka = request.getfixturevalue(fixture)
    return found


@pytest.fixture
def kafka_address(broker: MockBroker | RealKafka) -> str:
    """Bootstrap server of the broker under test."""
    return broker.address


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[Valkey]:
    """One real Valkey for all tests."""
    with Valkey() as server:
        yield server


@pytest.fixture
def valkey(valkey_server: Valkey) -> Valkey:
    """A real Valkey that holds nothing yet."""
    with Redis.from_url(valkey_server.url) as client:
        client.flushall()
    return valkey_server


@pytest.fixture
def own_valkey() -> Iterator[Valkey]:
    """A real Valkey for one test, to be killed and restarted."""
    with Valkey() as server:
        yield server


def _need_kafka() -> None:
    reason = kafka_available()
    if reason is not None:
        (pytest.fail if CI else pytest.skip)(reason)
