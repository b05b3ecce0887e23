"""`/metrics` as Prometheus reads it; rules and configuration as promtool checks them."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import time
from pathlib import Path
from urllib.parse import quote
from urllib.request import urlopen

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from streams.embedded import MockBroker, Valkey
from streams.embedded.server import free_ports
from streams.figures import RoleFigures
from streams.health import RoleHealth
from streams.options import ROLES
from streams.web.counting import NAMES
from streams.web.metrics import METRICS
from tests.streams.job import until
from tests.web.serving import serving, web_settings

MONITORING = Path(__file__).parents[2] / "monitoring"
SUFFIX = re.compile(r"_(total|bucket|count|sum|created)$")


class Role:
    """A scorer that has done something of everything."""

    def health(self) -> RoleHealth:
        return RoleHealth("restoring", 2, 17, "", 30, 40)

    def figures(self) -> RoleFigures:
        return RoleFigures(
            consumed=1000,
            produced=2000,
            batches=10,
            batch_seconds=2.5,
            restored=30,
            restore_seconds=0.5,
            lag={("crm.events", 0): 10, ("crm.events", 1): 7},
            rejected={"malformed-json": 3},
            models_at={"churn": time.time() - 60.0},
            newest=time.time() - 5.0,
            quality={("churn", "last-1000", "auc"): 0.81},
        )


def _tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        reason = f"no {name}: install Debian's package prometheus"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)
        raise AssertionError
    return found


@pytest.mark.asyncio
async def test_every_figure_of_a_role_is_told_in_base_units(
    app: str, mock_broker: MockBroker, valkey: Valkey
) -> None:
    settings = web_settings(app, mock_broker, valkey)
    async with serving(settings, {"score": Role()}) as client:
        await client.get("/v1/segments", "watcher")
        said = await client.get("/metrics")
    families = {family.name: family for family in text_string_to_metric_families(said.body)}
    assert set(families) >= METRICS | NAMES | {"crm_build_info", "process_resident_memory_bytes"}
    values = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in families.values()
        for sample in family.samples
    }
    assert values["crm_records_consumed_total", "score"] == 1000
    assert values["crm_records_produced_total", "score"] == 2000
    assert values["crm_lag_records", "1", "crm.events", "score"] == 7
    assert values["crm_batch_seconds_sum", "score"] == 2.5
    assert values["crm_batch_seconds_count", "score"] == 10
    assert values["crm_dead_letters_total", "malformed-json", "score"] == 3
    assert values["crm_restore_remaining_records", "score"] == 40
    assert values["crm_role_ready", "score"] == 0
    assert values["crm_role_ready", "web"] == 1
    assert values["crm_settled_quality", "auc", "churn", "last-1000", "score"] == 0.81
    assert 59 < values["crm_model_age_seconds", "churn", "score"] < 120
    assert 4 < values["crm_cache_age_seconds", "score"] < 60
    assert values["crm_http_requests_total", "/v1/segments", "200"] == 1


def test_promtool_accepts_the_configuration_and_the_rules() -> None:
    tool = _tool("promtool")
    done = subprocess.run(
        [tool, "check", "config", "prometheus.yml"],
        cwd=MONITORING,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rules = subprocess.run(
        [tool, "test", "rules", "alerts_test.yml"],
        cwd=MONITORING,
        capture_output=True,
        text=True,
        check=False,
    )
    assert rules.returncode == 0, rules.stdout + rules.stderr


def test_prometheus_scrapes_every_role() -> None:
    config = yaml.safe_load((MONITORING / "prometheus.yml").read_text("utf-8"))
    (job,) = config["scrape_configs"]
    assert set(job["dns_sd_configs"][0]["names"]) == set(ROLES)


def test_every_role_is_missed_where_it_is_gone() -> None:
    (group,) = yaml.safe_load((MONITORING / "alerts.yml").read_text("utf-8"))["groups"]
    (gone,) = [rule["expr"] for rule in group["rules"] if rule["alert"] == "CrmRoleGone"]
    named = "|".join(re.findall(r'role=~?"([^"]+)"', gone))
    assert sorted(named.split("|")) == sorted(ROLES)


def test_rules_and_dashboard_ask_for_figures_that_exist() -> None:
    asked = [
        rule["expr"]
        for group in yaml.safe_load((MONITORING / "alerts.yml").read_text("utf-8"))["groups"]
        for rule in group["rules"]
    ]
    board = json.loads((MONITORING / "grafana" / "crm-online.json").read_text("utf-8"))
    shown = [target["expr"] for panel in board["panels"] for target in panel.get("targets", ())]
    asked += shown
    names = {name for expression in asked for name in re.findall(r"\bcrm_\w+", expression)}
    assert {SUFFIX.sub("", name) for name in names} <= METRICS | NAMES
    assert {"crm_lag_records", "crm_settled_quality"} <= names
    for counted in ("crm_webhooks_total", "crm_actions_total", "crm_segment_moves_total"):
        assert any(counted in expression for expression in shown)


@pytest.mark.asyncio
async def test_a_real_prometheus_scrapes_it(
    app: str, mock_broker: MockBroker, valkey: Valkey, tmp_path: Path
) -> None:
    prometheus, (port,) = _tool("prometheus"), free_ports(1)
    settings = web_settings(app, mock_broker, valkey)
    config = {
        "global": {"scrape_interval": "1s"},
        "rule_files": [str(MONITORING / "alerts.yml")],
        "scrape_configs": [
            {
                "job_name": "crm-online",
                "static_configs": [{"targets": [f"127.0.0.1:{settings.web_port}"]}],
            }
        ],
    }
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config), "utf-8")

    def ask(expression: str) -> list[dict[str, object]]:
        url = f"http://127.0.0.1:{port}/api/v1/query?query={quote(expression)}"
        try:
            with urlopen(url, timeout=5) as answer:
                found: list[dict[str, object]] = json.load(answer)["data"]["result"]
                return found
        except OSError:  # it has only just been started
            return []

    async with serving(settings, {"score": Role()}):
        process = subprocess.Popen(  # noqa: ASYNC220 - it returns at once
            [
                prometheus,
                f"--web.listen-address=127.0.0.1:{port}",
                f"--storage.tsdb.path={tmp_path / 'data'}",
                f"--config.file={tmp_path / 'prometheus.yml'}",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:

            async def scraped() -> bool:
                found = await asyncio.to_thread(ask, 'crm_lag_records{partition="1"}')
                return bool(found) and found[0]["value"][1] == "7"  # type: ignore[index]

            await until(scraped)
            assert (await asyncio.to_thread(ask, 'up{job="crm-online"}'))[0]["value"]
        finally:
            process.terminate()
            process.wait(20)
