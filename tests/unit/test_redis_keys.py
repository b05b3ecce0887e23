"""Keys: one slot per customer, whatever the id."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from redis.crc import key_slot

from crm_online.errors import ConfigurationError
from crm_online.settings import Settings
from crm_online.sinks.redis import Keys, connect

IDS = st.text(alphabet=st.sampled_from("ab{}%:7BDscore"), min_size=1, max_size=12) | st.text(
    min_size=1, max_size=100
).filter(lambda text: text.isprintable())


def configured(**fields: Any) -> Settings:
    return Settings(**fields)


def test_keys_are_those_of_the_contract() -> None:
    keys = Keys("crm")
    assert keys.of_customer("c-1") == (
        "crm:{c-1}:scores",
        "crm:{c-1}:recommendations",
        "crm:{c-1}:scores:history",
        "crm:{c-1}:recommendations:history",
        "crm:{c-1}:mark",
        "crm:{c-1}:actions",
    )
    assert keys.segment("champions") == "crm:segment:champions"
    assert keys.at_risk == "crm:at-risk"


@given(IDS)
def test_all_keys_of_a_customer_share_a_slot(customer: str) -> None:
    slots = {key_slot(key.encode()) for key in Keys("crm").of_customer(customer)}
    assert len(slots) == 1


@given(IDS, IDS)
def test_no_two_customers_share_a_key(one: str, other: str) -> None:
    shared = set(Keys("crm").of_customer(one)) & set(Keys("crm").of_customer(other))
    assert bool(shared) == (one == other)


@given(IDS)
def test_no_customer_owns_a_key_of_all(customer: str) -> None:
    keys = Keys("crm")
    assert keys.at_risk not in keys.of_customer(customer)
    assert keys.segment(customer) not in keys.of_customer(customer)


def test_a_segment_is_found_back_from_its_key() -> None:
    keys = Keys("crm")
    assert keys.segment_name(keys.segment("at_risk")) == "at_risk"


def test_connect_takes_tls_and_acl_from_settings(tmp_path: object) -> None:
    client = connect(
        configured(redis="rediss://ann:s3cret@cache:6380/2", redis_ca_file=f"{tmp_path}/ca.pem")
    )
    pool = client.connection_pool
    assert pool.connection_class.__name__ == "SSLConnection"
    assert pool.connection_kwargs["ssl_ca_certs"].endswith("ca.pem")
    assert (pool.connection_kwargs["username"], pool.connection_kwargs["db"]) == ("ann", 2)
    assert pool.connection_kwargs["health_check_interval"] > 0
    assert pool.connection_kwargs["socket_timeout"] > 0


def test_an_address_of_something_else_is_refused_without_its_password() -> None:
    with pytest.raises(ValidationError, match="no address of a Redis") as caught:
        configured(redis="http://s3cret@x")
    assert "s3cret" not in str(caught.value)


def test_a_bad_address_is_named_without_its_password() -> None:
    with pytest.raises(ConfigurationError, match="CRM_REDIS") as caught:
        connect(configured(redis="redis://ann:s3cret@x:port/0"))
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_ca_file_needs_tls(tmp_path: object) -> None:
    with pytest.raises(ConfigurationError, match="rediss://"):
        connect(configured(redis="redis://x", redis_ca_file=f"{tmp_path}/ca.pem"))
