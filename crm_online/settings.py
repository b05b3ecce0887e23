"""Settings: one frozen model, units in the names, every value from ``CRM_…``, a file or a flag."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Final, Literal
from zoneinfo import available_timezones

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from crm_online.endpoints import Endpoints
from crm_online.event_settings import EventSettings, Positive, PositiveFloat
from crm_online.kinds import KIND
from crm_online.model_specs import (
    CHURN_MODEL,
    CLUSTER_MODEL,
    VALUE_MODEL,
    Challengers,
    ModelSpec,
)

__all__ = ["SETTINGS_FILE", "Settings"]

SETTINGS_FILE = "CRM_SETTINGS_FILE"

_SERVER: Final = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[^\s:/@\[\]]+):[0-9]{1,5}")
_REDIS_SCHEMES: Final = ("redis://", "rediss://", "unix://")

MOST_OPEN: Final = 1000  # predictions of a customer that await their labels


class Settings(EventSettings):
    """Everything an operator can set.

    Each field is read from the environment variable ``CRM_<FIELD>``, else from the TOML file
    that ``CRM_SETTINGS_FILE`` names, else has the default below; keyword arguments (the
    command line's flags) win over both.

    Raises
    ------
    pydantic.ValidationError
        Where a value does not fit its field.

    Examples
    --------
    >>> Settings(horizon_days=60).horizon_days
    60.0
    """

    model_config = SettingsConfigDict(
        env_prefix="CRM_",
        frozen=True,
        extra="forbid",
        env_ignore_empty=True,
        hide_input_in_errors=True,  # it may hold a password
    )

    # Where things are
    app: str = Field("crm", description="Prefix of topics, groups and cache keys.")
    kafka: str = Field("127.0.0.1:9092", description="Bootstrap servers, comma-separated.")
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"
    kafka_username: str | None = None
    kafka_password: SecretStr | None = None
    kafka_ca_file: Path | None = None
    kafka_certificate_file: Path | None = None
    kafka_key_file: Path | None = None
    redis: SecretStr = Field(
        SecretStr("redis://127.0.0.1:6379/0"),
        description="Redis address; rediss:// for TLS, redis://user:password@… for an ACL.",
    )
    redis_ca_file: Path | None = None

    # Secrets
    signing_key: SecretStr = Field(
        SecretStr("change-me-in-production"),
        description="Signs model snapshots and internal records (HMAC-SHA256).",
    )

    # Topics
    partitions: Positive = Field(8, description="Partitions of crm.events and all keyed topics.")
    replication_factor: Positive = 1
    declare_topics: bool = Field(
        default=True, description="Create missing topics when a worker starts."
    )
    retention_days: PositiveFloat = Field(30.0, description="Retention of topics that are deleted.")

    # Customers and labels
    session_gap_minutes: PositiveFloat = 30.0
    horizon_days: PositiveFloat = Field(30.0, description="How far ahead churn and value look.")
    prediction_interval_days: PositiveFloat = 7.0
    active_days: PositiveFloat = Field(
        180.0, description="Predictions open this long after activity."
    )
    churn_on: Literal["activity", "order"] = "activity"
    state_ttl_days: PositiveFloat = 400.0
    activity_kinds: tuple[str, ...] | None = Field(
        None, description="Event names that count as activity; default: all that customers do."
    )

    # Actions
    rules_file: Path | None = Field(
        None, description="Rules of the role act, TOML or YAML; without it, act does not run."
    )
    kept_traits: tuple[str, ...] = Field(
        (), description="Traits of identify that scores carry, for rules and templates."
    )
    timezone: str = Field("UTC", description="Of customers whose events name none.")
    max_action_age_seconds: PositiveFloat = Field(
        3600.0, description="Triggers older than this against Kafka's timestamp send nothing."
    )

    # Webhooks
    webhooks: Endpoints = Field(
        (), description="Endpoints that get actions; without one, deliver does not run."
    )
    webhook_first_retry_seconds: PositiveFloat = 5.0
    webhook_last_retry_seconds: PositiveFloat = 86_400.0
    webhook_give_up_hours: PositiveFloat = Field(
        72.0, description="Actions older than this are not delivered any more."
    )
    webhook_disable_days: PositiveFloat = Field(
        5.0, description="An endpoint that took nothing for so long is disabled."
    )

    # Models
    churn_model: ModelSpec = CHURN_MODEL
    value_model: ModelSpec = VALUE_MODEL
    cluster_model: ModelSpec = CLUSTER_MODEL
    churn_challengers: Challengers = Field(
        {}, description="Names to models that learn beside churn_model; the best one predicts."
    )
    value_challengers: Challengers = Field(
        {}, description="Names to models that learn beside value_model; the best one predicts."
    )
    min_outcomes: Positive = Field(
        50, description="Outcomes of each class before a churn score is called calibrated."
    )
    model_publish_seconds: PositiveFloat = 1.0
    metrics_publish_seconds: PositiveFloat = Field(
        10.0, description="Between live metrics, and between snapshots of all challengers."
    )
    next_item_publish_seconds: PositiveFloat = 300.0
    rerank_sample: Annotated[float, Field(gt=0, le=1)] = Field(
        1.0, description="Share of sessions that the learner trains the next-item re-ranker on."
    )
    max_items: Positive = 200_000
    max_sessions: Positive = 2**18
    recommended_items: Positive = 10
    repurchase: Literal["habit", "always", "never"] = Field(
        "habit", description="Whether items just bought may be recommended again."
    )
    repurchase_share: Annotated[float, Field(ge=0, le=1)] = 0.1
    at_risk_probability: Annotated[float, Field(ge=0, le=1)] = 0.5

    # Streams
    max_batch: Positive = 2000
    fetch_max_wait_seconds: PositiveFloat = Field(
        0.5, description="How long the broker may hold back a fetch that finds nothing."
    )
    session_timeout_seconds: PositiveFloat = 10.0
    max_pause_seconds: PositiveFloat = Field(
        600.0, description="How long a worker may stand still and still be survived by its work."
    )
    live_skew_seconds: PositiveFloat = 3600.0
    idle_seconds: PositiveFloat = 5.0
    max_in_flight_events: Positive = Field(
        4000, description="Events of a worker whose effects may be under way, not yet durable."
    )
    stall_seconds: PositiveFloat = Field(
        300.0, description="A role that reads nothing for so long, with records there, ends."
    )
    stop_seconds: PositiveFloat = Field(
        60.0, description="A worker told to stop ends after so long, done or not."
    )
    max_ahead_days: PositiveFloat | None = 1.0
    cache_ttl_days: PositiveFloat = 400.0

    # HTTP
    web_host: str = Field("127.0.0.1", description="Address that HTTP is served on.")
    web_port: Annotated[int, Field(ge=0, le=65535)] = Field(
        0, description="Port that HTTP is served on; 0 serves nothing."
    )
    write_keys: tuple[SecretStr, ...] = Field(
        (), description="Who may send events: user names of Basic auth at the intake."
    )
    api_keys: tuple[SecretStr, ...] = Field(
        (), description="Who may read: role:key, role being watcher, site or marketer."
    )
    intake_events_per_second: PositiveFloat = Field(
        20_000.0, description="Of one write key; more are refused for a moment."
    )
    intake_max_in_flight_events: Positive = Field(
        50_000, description="Events on their way from the intake to Kafka; more are refused."
    )

    @field_validator("app")
    @classmethod
    def _plain_app(cls, value: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9_-]+", value):
            raise ValueError("use letters, digits, '-' and '_' only, all ASCII")
        return value

    @field_validator("kafka")
    @classmethod
    def _servers(cls, value: str) -> str:
        servers = [server.strip() for server in value.split(",") if server.strip()]
        if not servers or not all(map(_SERVER.fullmatch, servers)):
            raise ValueError("write host:port, and commas between several")
        return value

    @field_validator("redis")
    @classmethod
    def _address(cls, value: SecretStr) -> SecretStr:
        if not value.get_secret_value().startswith(_REDIS_SCHEMES):
            raise ValueError(
                "no address of a Redis: write redis://[user:password@]host:port/db, rediss://… for "
                "TLS, or unix://…"
            )
        return value

    @field_validator("timezone")
    @classmethod
    def _zone(cls, value: str) -> str:
        if value not in available_timezones():
            raise ValueError("name a zone of the IANA database, such as Europe/Berlin")
        return value

    @field_validator("activity_kinds")
    @classmethod
    def _known_kinds(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        unknown = [name for name in value or () if name not in KIND]
        if unknown:
            raise ValueError(
                f"no such event of the Segment spec: {', '.join(unknown)}; names of your own count "
                "together as 'other'"
            )
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        if self.state_ttl_days <= self.active_days + self.horizon_days:
            raise ValueError("state_ttl_days must exceed active_days + horizon_days")
        least = self.horizon_days / MOST_OPEN
        if self.prediction_interval_days < least:
            raise ValueError(
                f"prediction_interval_days must be at least {least:.3g}, a {MOST_OPEN}th of "
                "horizon_days: a customer's state holds all predictions of a horizon"
            )
        if self.max_in_flight_events < self.max_batch:
            raise ValueError("max_in_flight_events must be at least max_batch")
        if self.webhook_last_retry_seconds < self.webhook_first_retry_seconds:
            raise ValueError("webhook_last_retry_seconds must be at least the first")
        if (self.kafka_username is None) != (self.kafka_password is None):
            raise ValueError("kafka_username and kafka_password belong together")
        if self.kafka_key_file is not None and self.kafka_certificate_file is None:
            raise ValueError("kafka_key_file needs its kafka_certificate_file")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Rank the sources: flags, environment, then the file of ``CRM_SETTINGS_FILE``."""
        del dotenv_settings, file_secret_settings  # not ours
        file = os.environ.get(SETTINGS_FILE)
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, file)

    def topic(self, noun: str) -> str:
        """Name of a topic, such as ``crm.events`` for ``"events"``."""
        return f"{self.app}.{noun}"
