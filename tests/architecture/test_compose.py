"""docker-compose.yml, checked without an engine: it is valid, and what it says fits the rest."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from crm_online.settings import SETTINGS_FILE, Settings
from streams.apps import ROLES

ROOT = Path(__file__).parents[2]
COMPOSE = shutil.which("docker-compose")
HINT = "docker-compose is missing: install it (Debian: apt-get install docker-compose)"

pytestmark = pytest.mark.skipif(COMPOSE is None, reason=HINT)


def compose(**environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(COMPOSE), "-f", str(ROOT / "docker-compose.yml"), "--profile", "*", "config"],
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    done = compose(CRM_SIGNING_KEY="a-long-random-string")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = yaml.safe_load(done.stdout)["services"]
    return found


def test_it_asks_for_the_signing_key() -> None:
    done = compose()
    assert done.returncode != 0
    assert "set CRM_SIGNING_KEY" in done.stderr


def test_every_role_is_a_service(services: dict[str, Any]) -> None:
    for role in ROLES:
        assert services[role]["command"] == ["worker", "--roles", role]
        port = services[role]["environment"]["CRM_WEB_PORT"]
        assert f":{port}/health/ready" in services[role]["healthcheck"]["test"][-1]


def test_workers_get_settings_that_exist(services: dict[str, Any]) -> None:
    for role in ROLES:
        given = services[role]["environment"]
        for name, value in given.items() - {(SETTINGS_FILE, given.get(SETTINGS_FILE))}:
            field = name.removeprefix("CRM_").lower()
            assert field in Settings(**{field: value}).model_fields_set


def test_images_are_pinned(services: dict[str, Any]) -> None:
    images = {service["image"] for service in services.values()}
    assert all(re.search(r":v?\d+\.\d+\.\d+$", image) for image in images), images


def test_whatever_keeps_running_has_a_health_check(services: dict[str, Any]) -> None:
    lasting = {name for name, service in services.items() if service["restart"] != "no"}
    assert {name for name, service in services.items() if "healthcheck" in service} == lasting


def test_servers_keep_their_files_and_are_reached_from_this_machine_only(
    services: dict[str, Any],
) -> None:
    for name in ("kafka", "valkey"):
        assert services[name]["volumes"]
        assert all(port.startswith("127.0.0.1:") for port in services[name]["ports"])
