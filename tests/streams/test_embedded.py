"""The servers that demo and tests start: they answer, keep what they should, and go away."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer
from redis import Redis

from crm_online.errors import BrokerUnavailable, SinkUnavailable
from streams.embedded import MockBroker, RealKafka, Valkey, kafka_available
from streams.embedded.server import free_ports

Broker = MockBroker | RealKafka


def write(address: str, topic: str, value: bytes) -> None:
    producer = Producer({"bootstrap.servers": address, "log_level": 2})
    producer.produce(topic, value, partition=0)
    assert producer.flush(30) == 0


def consume(address: str, topic: str, group: str) -> Consumer:
    consumer = Consumer(
        {
            "bootstrap.servers": address,
            "group.id": group,
            "auto.offset.reset": "earliest",
            "log_level": 2,
        }
    )
    consumer.subscribe([topic])
    return consumer


def read(consumer: Consumer) -> bytes | None:
    message = consumer.poll(30)
    assert message is not None
    assert message.error() is None
    value = message.value()
    assert not isinstance(value, str)
    return value


def is_running(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_broker_gives_back_what_was_written(broker: Broker, app: str) -> None:
    broker.create_topics({f"{app}.events": 4})
    write(broker.address, f"{app}.events", b"hello")
    consumer = consume(broker.address, f"{app}.events", app)
    assert read(consumer) == b"hello"
    consumer.close()


@pytest.mark.real
def test_kafka_keeps_its_log_through_a_restart_and_a_crash(own_kafka: RealKafka) -> None:
    address = own_kafka.address
    own_kafka.create_topics({"events": 1})
    write(address, "events", b"before")
    own_kafka.restart()
    write(address, "events", b"between")
    own_kafka.kill()
    own_kafka.start()
    assert own_kafka.address == address
    consumer = consume(address, "events", "group")
    assert [read(consumer), read(consumer)] == [b"before", b"between"]
    consumer.close()


@pytest.mark.real
def test_kafka_leaves_nothing_behind(own_kafka: RealKafka) -> None:
    process_id, folder = own_kafka.process_id, own_kafka.folder
    assert process_id is not None
    own_kafka.stop()
    assert not is_running(process_id)
    assert not folder.exists()


@pytest.mark.real
def test_kafka_says_why_it_does_not_start(real_kafka: RealKafka) -> None:
    assert real_kafka.process_id is not None
    broken = RealKafka(config={"process.roles": "nonsense"})
    with pytest.raises(BrokerUnavailable, match="nonsense"):
        broken.start()
    assert broken.process_id is None


def test_without_its_jars_there_is_no_kafka(tmp_path: Path) -> None:
    reason = kafka_available(tmp_path)
    assert reason is not None
    assert "make kafka" in reason


def test_valkey_answers_and_leaves_nothing_behind() -> None:
    with Valkey() as server:
        process_id, folder = server.process_id, server.folder
        assert process_id is not None
        with Redis.from_url(server.url) as client:
            assert client.ping()
    assert not is_running(process_id)
    assert not folder.exists()


def test_valkey_comes_back_empty_at_the_same_address(own_valkey: Valkey) -> None:
    url = own_valkey.url
    with Redis.from_url(url) as client:
        client.set("key", "value")
    own_valkey.kill()
    own_valkey.start()
    assert own_valkey.url == url
    with Redis.from_url(url) as client:
        assert client.get("key") is None


def test_a_taken_port_is_an_error_and_not_a_wait() -> None:
    server = Valkey()
    with socket.create_server(("127.0.0.1", server.port)) as taken:
        taken.settimeout(0)
        with pytest.raises(SinkUnavailable, match="ended at its start"):
            server.start()
    assert server.process_id is None


def test_a_server_that_hangs_is_ended_by_force(
    own_valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.embedded.server.STOP_SECONDS", 0.2)
    process_id = own_valkey.process_id
    assert process_id is not None
    os.kill(process_id, signal.SIGSTOP)
    own_valkey.stop()
    assert not is_running(process_id)


def test_a_server_does_not_outlive_a_killed_owner() -> None:
    code = (
        "from streams.embedded import Valkey\n"
        "server = Valkey(); server.start()\n"
        "print(server.process_id, server.folder, flush=True); input()"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None
    process_id, folder = owner.stdout.readline().split()
    assert is_running(int(process_id))
    owner.kill()
    owner.communicate()
    deadline = time.monotonic() + 30
    while is_running(int(process_id)) or Path(folder).exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_free_ports_differ() -> None:
    assert len(set(free_ports(50))) == 50
