"""How every Kafka client of this project connects: TLS and SASL by settings alone."""

from __future__ import annotations

import ssl
import tempfile
from pathlib import Path
from typing import Any, Final

import faust
from faust.types.auth import CredentialsT

from crm_online.errors import ConfigurationError
from crm_online.settings import Settings

__all__ = [
    "BATCH_SCHEME",
    "admin_options",
    "client_options",
    "consumer_options",
    "faust_options",
    "tls_context",
]

BATCH_SCHEME: Final = "kafkabatch"
# A restore may take long while nothing is polled; the heartbeat runs in a thread of its own.
MAX_POLL_SECONDS: Final = 24 * 3600.0
REQUEST_SECONDS: Final = 40.0


def tls_context(settings: Settings) -> ssl.SSLContext | None:
    """Make the TLS context that the settings ask for.

    Returns
    -------
    ssl.SSLContext or None
        ``None`` where the security protocol has no TLS. Without ``CRM_KAFKA_CA_FILE`` the
        system's certificate authorities are trusted.

    Raises
    ------
    ConfigurationError
        Where a file cannot be read or holds no certificate.
    """
    if not settings.kafka_security_protocol.endswith("SSL"):
        return None
    try:
        context = ssl.create_default_context(cafile=settings.kafka_ca_file)
        if settings.kafka_certificate_file is not None:
            context.load_cert_chain(settings.kafka_certificate_file, settings.kafka_key_file)
    except OSError as error:  # ssl.SSLError is one, too
        raise ConfigurationError(
            f"TLS to Kafka cannot be set up ({error}): check CRM_KAFKA_CA_FILE, "
            "CRM_KAFKA_CERTIFICATE_FILE and CRM_KAFKA_KEY_FILE"
        ) from error
    return context


def client_options(settings: Settings) -> dict[str, Any]:
    """Return the keyword arguments by which aiokafka's clients connect.

    Raises
    ------
    ConfigurationError
        Where SASL lacks a name or a password, or a TLS file is unusable.
    """
    options: dict[str, Any] = {
        "bootstrap_servers": _servers(settings),
        "security_protocol": settings.kafka_security_protocol,
        "ssl_context": tls_context(settings),
    }
    if settings.kafka_security_protocol.startswith("SASL"):
        name, password = _login(settings)
        options["sasl_mechanism"] = settings.kafka_sasl_mechanism
        options["sasl_plain_username"] = name
        options["sasl_plain_password"] = password
    return options


def consumer_options(settings: Settings) -> dict[str, Any]:
    """Return the keyword arguments of aiokafka's consumers outside of any group."""
    return client_options(settings) | {
        "enable_auto_commit": False,
        "check_crcs": False,
        "fetch_max_wait_ms": int(settings.fetch_max_wait_seconds * 1000),
    }


def admin_options(settings: Settings) -> dict[str, Any]:
    """Return the configuration of confluent-kafka's clients.

    Raises
    ------
    ConfigurationError
        Where SASL lacks a name or a password.
    """
    options: dict[str, Any] = {
        "bootstrap.servers": ",".join(_servers(settings)),
        "security.protocol": settings.kafka_security_protocol,
    }
    files = {
        "ssl.ca.location": settings.kafka_ca_file,
        "ssl.certificate.location": settings.kafka_certificate_file,
        "ssl.key.location": settings.kafka_key_file,
    }
    if settings.kafka_security_protocol.endswith("SSL"):
        options |= {name: str(path) for name, path in files.items() if path is not None}
    if settings.kafka_security_protocol.startswith("SASL"):
        name, password = _login(settings)
        options["sasl.mechanism"] = settings.kafka_sasl_mechanism
        options["sasl.username"] = name
        options["sasl.password"] = password
    return options


def faust_options(settings: Settings) -> dict[str, Any]:
    """Return the options of a `streams.batches.BatchApp`: where Kafka is, and what Faust leaves be.

    Raises
    ------
    ConfigurationError
        Where SASL lacks a name or a password, or a TLS file is unusable.
    """
    return {
        "broker": [f"{BATCH_SCHEME}://{server}" for server in _servers(settings)],
        "broker_credentials": _faust_credentials(settings),
        "broker_session_timeout": settings.session_timeout_seconds,
        "broker_heartbeat_interval": settings.session_timeout_seconds / 10.0,
        "broker_request_timeout": max(REQUEST_SECONDS, settings.session_timeout_seconds),
        "broker_max_poll_interval": MAX_POLL_SECONDS,
        "broker_commit_interval": 1.0,
        "broker_check_crcs": False,
        "stream_wait_empty": False,
        "topic_allow_declare": False,
        "topic_disable_leader": True,
        "web_enabled": False,
        "web_tables_enabled": False,
        "worker_redirect_stdouts": False,
        "datadir": Path(tempfile.gettempdir()) / "crm-online-faust",
    }


def _faust_credentials(settings: Settings) -> CredentialsT | None:
    context = tls_context(settings)
    if settings.kafka_security_protocol.startswith("SASL"):
        name, password = _login(settings)
        return faust.SASLCredentials(
            username=name,
            password=password,
            ssl_context=context,
            mechanism=settings.kafka_sasl_mechanism,
        )
    # Faust's SSLCredentials(cafile=...) raises TypeError: it only takes a context.
    return None if context is None else faust.SSLCredentials(context=context)


def _servers(settings: Settings) -> list[str]:
    return [server.strip() for server in settings.kafka.split(",") if server.strip()]


def _login(settings: Settings) -> tuple[str, str]:
    if settings.kafka_username is None or settings.kafka_password is None:
        raise ConfigurationError(
            f"{settings.kafka_security_protocol} needs CRM_KAFKA_USERNAME and CRM_KAFKA_PASSWORD"
        )
    return settings.kafka_username, settings.kafka_password.get_secret_value()
