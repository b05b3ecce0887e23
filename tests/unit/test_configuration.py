"""Settings come from flags, environment and file, in this order, and every mistake is named."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from crm_online.errors import ConfigurationError
from crm_online.settings import Settings
from streams.configuration import InForce, in_force, load, only, parse_pairs, signs_by_default
from streams.masking import masked_address
from streams.show_config import show_settings

PERCEPTRON = {"class": "river.linear_model.Perceptron"}
BAYES = {"class": "river.naive_bayes.GaussianNB"}


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    file = tmp_path / "crm.toml"
    model = f'[churn_model]\nclass = "{BAYES["class"]}"\n'
    file.write_text(f'horizon_days = 3\napp = "filed"\n{model}', "utf-8")
    return file


def found(rows: list[InForce]) -> dict[str, tuple[Any, str]]:
    return {row.name: (row.value, row.origin) for row in rows}


def test_without_anything_the_defaults_are_in_force() -> None:
    assert load(environment={}).model_dump() == Settings().model_dump()
    assert {row.origin for row in in_force(environment={})} == {"default"}
    assert [row.name for row in in_force(environment={})] == list(Settings.model_fields)


def test_flags_win_over_the_environment_and_that_over_the_file(toml: Path) -> None:
    environment = {"CRM_SETTINGS_FILE": str(toml), "CRM_APP": "env", "CRM_PARTITIONS": "2"}
    rows = found(in_force({"partitions": "4", "kafka": None}, environment=environment))
    assert rows["horizon_days"] == (3.0, f"file {toml}")
    assert rows["app"] == ("env", "environment CRM_APP")
    assert rows["partitions"] == (4, "flag")
    assert rows["kafka"] == ("127.0.0.1:9092", "default")


def test_a_file_named_by_flag_wins_over_the_one_of_the_environment(toml: Path) -> None:
    assert load(None, toml, {"CRM_SETTINGS_FILE": "/nowhere.toml"}).app == "filed"


def test_a_model_replaces_the_one_below_as_a_whole(toml: Path) -> None:
    assert load(None, toml, {}).churn_model == BAYES
    environment = {"CRM_CHURN_MODEL": json.dumps(PERCEPTRON)}
    assert load(None, toml, environment).churn_model == PERCEPTRON
    assert load({"churn_model": json.dumps(PERCEPTRON)}, toml, {}).churn_model == PERCEPTRON


def test_lists_are_json_and_none_empties_what_is_optional() -> None:
    environment = {"CRM_ACTIVITY_KINDS": '["Order Completed"]', "CRM_MAX_AHEAD_DAYS": "None"}
    settings = load(environment=environment)
    assert settings.activity_kinds == ("Order Completed",)
    assert settings.max_ahead_days is None


def test_rates_are_shown_as_they_can_be_given() -> None:
    given = '{"USD": "0.92", "GBP": {"2024-01-01": "1.15"}}'
    [shown] = [
        row.value for row in in_force(environment={"CRM_RATES": given}) if row.name == "rates"
    ]
    assert json.dumps(shown) == given


def test_an_empty_variable_counts_as_unset() -> None:
    assert load(environment={"CRM_APP": "", "CRM_HORIZON_DAYS": " "}).app == "crm"


def test_what_kubernetes_sets_is_left_alone() -> None:
    load(
        environment={
            "CRM_ONLINE_SERVICE_HOST": "10.0.0.1",
            "CRM_ONLINE_SERVICE_PORT_HTTP": "80",
            "CRM_ONLINE_PORT": "tcp://10.0.0.1:80",
            "CRM_ONLINE_PORT_80_TCP_ADDR": "10.0.0.1",
        }
    )
    with pytest.raises(ConfigurationError, match="CRM_WEBB_PORT is no setting"):
        load(environment={"CRM_WEBB_PORT": "80"})


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({"CRM_HORIZON_DAY": "3"}, "CRM_HORIZON_DAY is no setting; did you mean CRM_HORIZON_DAYS?"),
        ({"CRM_ZZZ": "3"}, "CRM_ZZZ is no setting; remove it: `crm-online config` lists all"),
        ({"CRM_HORIZON_DAYS": "x"}, "CRM_HORIZON_DAYS: input should be a valid number.* 30.0"),
        ({"CRM_HORIZON_DAYS": "nan"}, "CRM_HORIZON_DAYS: "),
        ({"CRM_PARTITIONS": "none"}, "CRM_PARTITIONS: "),
        ({"CRM_CHURN_MODEL": '{"class":'}, "CRM_CHURN_MODEL is no valid JSON"),
        ({"CRM_CHURN_CHALLENGERS": '{"a": {}, "a": {}}'}, "'a' stands in it twice"),
        ({"CRM_ACTIVITY_KINDS": "a,b"}, "CRM_ACTIVITY_KINDS is no valid JSON.*Order Completed"),
        ({"CRM_ACTIVITY_KINDS": '["Order Complete"]'}, "CRM_ACTIVITY_KINDS: no such .*Complete"),
        ({"CRM_STATE_TTL_DAYS": "5"}, "state_ttl_days must exceed .*see CRM_STATE_TTL_DAYS"),
        ({"CRM_APP": "a b"}, "CRM_APP: use letters"),
        ({"CRM_APP": "é"}, "CRM_APP: use letters.*ASCII"),
        ({"CRM_REDIS": "localhost"}, "CRM_REDIS: no address of a Redis: write redis://"),
        ({"CRM_KAFKA": "localhost"}, "CRM_KAFKA: write host:port.*127.0.0.1:9092"),
        ({"CRM_KAFKA": "a:9092,b"}, "CRM_KAFKA: write host:port"),
        ({"CRM_KAFKA": "kafka://a:9092"}, "CRM_KAFKA: write host:port"),
        ({"CRM_KAFKA": " , "}, "CRM_KAFKA: write host:port"),
        ({"CRM_CURRENCY": "eur"}, "CRM_CURRENCY: write the three capitals"),
        ({"CRM_KAFKA_CA_FILE": "/none.pem"}, "CRM_KAFKA_CA_FILE: there is no file /none.pem"),
        ({"CRM_REDIS_CA_FILE": "/none.pem"}, "CRM_REDIS_CA_FILE: there is no file /none.pem"),
        ({"CRM_KAFKA_USERNAME": "a"}, "belong together .see CRM_KAFKA_USERNAME"),
        ({"CRM_KAFKA_PASSWORD": "a"}, "belong together .see CRM_KAFKA_PASSWORD"),
        ({"CRM_KAFKA_KEY_FILE": "/none.pem"}, "needs its kafka_certificate_file"),
        ({"CRM_KAFKA_SECURITY_PROTOCOL": "SASL_SSL"}, "SASL_SSL needs CRM_KAFKA_USERNAME and"),
        ({"CRM_CHURN_MODEL": '{"class": "os.system"}'}, "CRM_CHURN_MODEL: os.system is neither"),
        ({"CRM_VALUE_MODEL": json.dumps(PERCEPTRON)}, "CRM_VALUE_MODEL: .* is not a Regressor"),
        ({"CRM_CLUSTER_MODEL": '{"class": "river.none.X"}'}, "CRM_CLUSTER_MODEL: there is no"),
        ({"CRM_SETTINGS_FILE": "/none.toml"}, "/none.toml cannot be read .*CRM_SETTINGS_FILE"),
    ],
)
def test_a_wrong_variable_is_named(environment: dict[str, str], named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        load(environment=environment)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (
            b"horizen_days = 3",
            "horizen_days in .*bad.toml is no setting; did you mean horizon_days",
        ),
        (b"horizon_days = -3", "horizon_days in .*bad.toml: input should be greater than 0"),
        (b'app = ""', "app in .*bad.toml: use letters"),
        (b"horizon_days", "bad.toml is no valid TOML.*: write one setting a line"),
        (b"[crm]\nhorizon_days = 3", "settings stand at the top level"),
        (b"\xff\xfe", "bad.toml is no valid TOML"),
    ],
)
def test_a_mistake_in_the_file_is_named(tmp_path: Path, text: bytes, named: str) -> None:
    file = tmp_path / "bad.toml"
    file.write_bytes(text)
    with pytest.raises(ConfigurationError, match=named):
        load(None, file, {})


@pytest.mark.parametrize(
    ("pair", "named"),
    [
        ("horizon=3", "--set horizon: there is no such setting; did you mean horizon_days?"),
        ("horizon_days", "horizon_days has no value"),
        ("horizon_days=", "horizon_days has no value"),
    ],
)
def test_a_wrong_pair_is_named(pair: str, named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        parse_pairs([pair])


def test_pairs_take_the_names_of_variables_too() -> None:
    assert parse_pairs(["CRM_HORIZON_DAYS=1=2", "max-items=5"]) == {
        "horizon_days": "1=2",
        "max_items": "5",
    }


@pytest.mark.parametrize(
    "kafka", ["a:1", "a:1, b.example.org:9093", "10.0.0.1:9092,", "[::1]:9092", "my_host:9092"]
)
def test_addresses_of_brokers(kafka: str) -> None:
    assert load({"kafka": kafka}, environment={}).kafka == kafka


@pytest.mark.parametrize("redis", ["redis://h", "rediss://u:p@h:1/0", "unix:///run/redis.sock"])
def test_addresses_of_the_cache(redis: str) -> None:
    assert load({"redis": redis}, environment={}).redis.get_secret_value() == redis


def test_a_wrong_address_of_the_cache_is_not_shown() -> None:
    with pytest.raises(ConfigurationError) as caught:
        load({"redis": "reddis://me:sesame@host"}, environment={})
    assert "sesame" not in str(caught.value)


def test_only_what_is_given_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRM_HORIZON_DAYS", "60")
    monkeypatch.setenv("CRM_SETTINGS_FILE", "/none.toml")
    settings = only(app="demo")
    assert (settings.app, settings.horizon_days) == ("demo", 30.0)


def test_the_default_key_is_told_from_an_own_one() -> None:
    assert signs_by_default(load(environment={}))
    assert not signs_by_default(load(environment={"CRM_SIGNING_KEY": "own"}))


# A lone word with a colon is a user with a password, and one with :// has a scheme.
words = st.text(st.characters(exclude_characters=":"), max_size=8)


@given(user=st.text("abc", max_size=3), password=st.text(max_size=8), word=words)
def test_an_address_never_shows_its_password(user: str, password: str, word: str) -> None:
    full = masked_address(f"rediss://{user}:sesame{password}@host:1/0")
    assert full == f"rediss://{user}:********@host:1/0"
    assert masked_address(f"redis://sesame{word}@host:1/0") == "redis://********@host:1/0"
    assert masked_address(f"sesame{word}") == "********"


def shown(environment: dict[str, str], *, json: bool) -> str:
    out = io.StringIO()
    console = Console(file=out, width=400)
    show_settings(in_force(environment=environment), json=json, console=console)
    return out.getvalue()


@pytest.fixture(params=[True, False])
def output(request: pytest.FixtureRequest) -> str:
    environment = {
        "CRM_KAFKA_USERNAME": "crm",
        "CRM_KAFKA_PASSWORD": "sesame-1",
        "CRM_REDIS": "redis://me:sesame-2@[::1]:6379/0",
        "CRM_SIGNING_KEY": "sesame-3",
    }
    return shown(environment, json=request.param)


def test_secrets_are_masked_and_the_rest_of_the_address_is_not(output: str) -> None:
    assert "sesame" not in output
    assert "redis://me:********@[::1]:6379/0" in output
    assert "environment CRM_KAFKA_PASSWORD" in output


def test_json_names_value_and_origin() -> None:
    found = json.loads(shown({"CRM_HORIZON_DAYS": "60"}, json=True))
    assert found["horizon_days"] == {"value": 60.0, "origin": "environment CRM_HORIZON_DAYS"}
    assert found["kafka_password"] == {"value": None, "origin": "default"}


@pytest.mark.parametrize("key", ["nobody:long-enough", "marketer:short", "marketer", ""])
def test_an_api_key_without_a_role_or_too_short_is_refused_unquoted(key: str) -> None:
    with pytest.raises(ConfigurationError, match="CRM_API_KEYS: write role:key") as caught:
        load(environment={"CRM_API_KEYS": json.dumps(["watcher:long-enough", key])})
    assert "long-enough" not in str(caught.value)


@pytest.mark.parametrize("key", ["", "short", "a-key:with-a-colon"])
def test_a_write_key_that_lets_in_all_or_nobody_is_refused_unquoted(key: str) -> None:
    with pytest.raises(ConfigurationError, match="CRM_WRITE_KEYS: write keys of 8") as caught:
        load(environment={"CRM_WRITE_KEYS": json.dumps(["long-enough", key])})
    assert not key or key not in str(caught.value)


def test_keys_are_masked_one_by_one() -> None:
    shown = {
        each.name: each.value
        for each in in_force(
            environment={
                "CRM_WRITE_KEYS": '["open-sesame"]',
                "CRM_API_KEYS": '["site:open-sesame"]',
            }
        )
    }
    assert (shown["write_keys"], shown["api_keys"]) == (["********"], ["********"])
