"""A broker that needs nothing but a wheel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import confluent_kafka

__all__ = ["MockBroker"]


class MockBroker:
    """librdkafka's mock cluster: speaks Kafka's protocol, lives in this process.

    Topics appear at first use, with four partitions; it knows no CreateTopics and keeps
    about 5 MB or 100,000 messages of a partition.

    Examples
    --------
    >>> with MockBroker() as broker:
    ...     broker.address.startswith("127.0.0.1:")
    True
    """

    def __init__(self) -> None:
        self._producer: confluent_kafka.Producer | None = None
        self.address = ""

    def start(self) -> None:
        """Start the cluster, which is there at once."""
        # The cluster belongs to a client; level 4 hides its greeting and nothing worse.
        self._producer = confluent_kafka.Producer({"test.mock.num.brokers": 1, "log_level": 4})
        (broker,) = self._producer.list_topics(timeout=10).brokers.values()
        self.address = f"{broker.host}:{broker.port}"

    def stop(self) -> None:
        """Stop the cluster; all that it held is gone."""
        self._producer = None

    def create_topics(
        self, partitions: Mapping[str, int], config: Mapping[str, str] | None = None
    ) -> None:
        """Use topics for the first time, whatever their partitions: a group ignores absent ones."""
        del config  # it knows none
        if self._producer is not None:
            for topic in partitions:
                self._producer.list_topics(topic, timeout=10)

    def __enter__(self) -> Self:
        """Start the cluster."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the cluster."""
        self.stop()
