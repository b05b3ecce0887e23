"""Kafka's clients connect as the settings say: plain, by TLS, by SASL, or not at all."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import faust
import pytest
from confluent_kafka.admin import AdminClient
from pydantic import SecretStr

from crm_online.errors import BrokerUnavailable, ConfigurationError
from crm_online.settings import Settings
from streams.connection import admin_options, client_options, faust_options, tls_context
from streams.embedded import RealKafka
from streams.topics import create_missing, differences
from tests.streams.workers import Worker, until_counted, write_events

PASSWORD = "correct-horse"


def test_plain_text_names_the_brokers_to_every_client() -> None:
    settings = Settings(kafka="one:9092, two:9093")
    assert client_options(settings)["bootstrap_servers"] == ["one:9092", "two:9093"]
    assert admin_options(settings)["bootstrap.servers"] == "one:9092,two:9093"
    options = faust_options(settings)
    assert options["broker"] == ["kafkabatch://one:9092", "kafkabatch://two:9093"]
    assert options["broker_credentials"] is None
    assert tls_context(settings) is None


def test_tls_without_sasl_gives_faust_a_context() -> None:
    credentials = faust_options(Settings(kafka_security_protocol="SSL"))["broker_credentials"]
    assert isinstance(credentials, faust.SSLCredentials)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"kafka_security_protocol": "SASL_PLAINTEXT"}, "CRM_KAFKA_USERNAME"),
        ({"kafka_security_protocol": "SSL", "kafka_ca_file": "/none.pem"}, "CRM_KAFKA_CA_FILE"),
    ],
)
def test_a_missing_or_wrong_setting_is_named(given: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        faust_options(Settings.model_validate(given))


class GuardedKafka(RealKafka):
    """A real Kafka that wants TLS and a password."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._store, self.ca_file = folder / "keys.p12", folder / "ca.pem"
        key = ["-alias", "kafka", "-keystore", str(self._store), "-storepass", PASSWORD]
        make = ["-genkeypair", "-keyalg", "EC", "-dname", "CN=kafka", "-ext", "san=ip:127.0.0.1"]
        for command in (make, ["-exportcert", "-rfc", "-file", str(self.ca_file)]):
            subprocess.run(["keytool", *command, *key], check=True, capture_output=True)

    def settings(self, app: str, **more: Any) -> Settings:
        given = {
            "app": app,
            "kafka": self.address,
            "partitions": 4,
            "kafka_security_protocol": "SASL_SSL",
            "kafka_username": "crm",
            "kafka_password": SecretStr(PASSWORD),
            "kafka_ca_file": self.ca_file,
        }
        return Settings.model_validate(given | more)

    def _admin(self) -> AdminClient:
        return AdminClient(admin_options(self.settings("crm")) | {"log_level": 2})

    def _properties(self) -> dict[str, str]:
        plain = super()._properties()
        login = "org.apache.kafka.common.security.plain.PlainLoginModule required"
        return plain | {
            "listeners": plain["listeners"].replace("PLAINTEXT:", "SASL_SSL:"),
            "advertised.listeners": plain["advertised.listeners"].replace("PLAINTEXT", "SASL_SSL"),
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL",
            "inter.broker.listener.name": "SASL_SSL",
            "sasl.mechanism.inter.broker.protocol": "PLAIN",
            "sasl.enabled.mechanisms": "PLAIN",
            "listener.name.sasl_ssl.plain.sasl.jaas.config": (
                f'{login} username="crm" password="{PASSWORD}" user_crm="{PASSWORD}";'
            ),
            "ssl.keystore.type": "PKCS12",
            "ssl.keystore.location": str(self._store),
            "ssl.keystore.password": PASSWORD,
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self.ca_file),
            "ssl.endpoint.identification.algorithm": "",
        }


@pytest.fixture(scope="module")
def guarded(real_kafka: RealKafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with GuardedKafka(tmp_path_factory.mktemp("keys")) as broker:
        yield broker


@pytest.mark.real
@pytest.mark.asyncio
async def test_a_worker_counts_behind_tls_and_a_password(
    guarded: GuardedKafka, app: str, tmp_path: Path
) -> None:
    settings = guarded.settings(app)
    create_missing(settings)
    assert differences(settings) == []
    await write_events(settings, 2_000)
    with Worker(settings, tmp_path) as worker:
        assert sum((await until_counted(settings, 2_000, worker)).values()) == 2_000


@pytest.mark.real
@pytest.mark.parametrize(
    "wrong", [{"kafka_password": "wrong"}, {"kafka_ca_file": None}, {"kafka_username": "nobody"}]
)
def test_a_refusal_says_what_to_check(
    guarded: GuardedKafka, monkeypatch: pytest.MonkeyPatch, wrong: dict[str, Any]
) -> None:
    monkeypatch.setattr("streams.admin.TIMEOUT_SECONDS", 2.0)
    with pytest.raises(BrokerUnavailable, match="CRM_KAFKA_SECURITY_PROTOCOL and the credentials"):
        create_missing(guarded.settings("crm", **wrong))
