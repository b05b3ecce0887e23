"""Servers that the demo and the tests start: a mock broker, a real Kafka, a real Valkey.

Each is a context manager, listens on 127.0.0.1 only, and leaves nothing behind.
"""

from __future__ import annotations

from streams.embedded.kafka import KAFKA_LIBS, RealKafka, kafka_available
from streams.embedded.mock import MockBroker
from streams.embedded.valkey import Valkey

__all__ = ["KAFKA_LIBS", "MockBroker", "RealKafka", "Valkey", "kafka_available"]
