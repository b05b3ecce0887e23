"""Figures as Prometheus reads them: base units, one label for the role."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    Metric,
    SummaryMetricFamily,
)
from prometheus_client.registry import Collector

from crm_online import __version__
from streams.figures import RoleFigures
from streams.reporting import Report

__all__ = ["CONTENT_TYPE", "METRICS", "registry", "text"]

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

Rows = Iterable[tuple[tuple[str, ...], float]]
Read = Callable[[Report, float], Rows]


def _once(value: Callable[[RoleFigures], float | None]) -> Read:
    """Read a figure that a role has once, where it has it."""

    def rows(report: Report, _: float) -> Rows:
        found = value(report.figures)
        return [] if found is None else [((), found)]

    return rows


def _lag(report: Report, _: float) -> Rows:
    return [((t, str(p)), records) for (t, p), records in report.figures.lag.items()]


def _model_age(report: Report, now: float) -> Rows:
    return [((model,), max(now - at, 0.0)) for model, at in report.figures.models_at.items()]


def _cache_age(report: Report, now: float) -> Rows:
    newest = report.figures.newest
    if newest is None:
        return []
    return [((), max(now - newest, 0.0) if any(report.figures.lag.values()) else 0.0)]


# Name to what it is, its labels besides the role, and how it is read of a role.
COUNTERS: Final[dict[str, tuple[str, tuple[str, ...], Read]]] = {
    "crm_records_consumed": (
        "Records read and applied.",
        (),
        _once(lambda figures: figures.consumed),
    ),
    "crm_records_produced": (
        "Records delivered; by the cache, into Redis.",
        (),
        _once(lambda figures: figures.produced),
    ),
    "crm_restored_records": (
        "Records read back by restores.",
        (),
        _once(lambda figures: figures.restored),
    ),
    "crm_restore_seconds": (
        "Time spent on restores.",
        (),
        _once(lambda figures: figures.restore_seconds),
    ),
    "crm_dead_letters": (
        "Events refused, by reason.",
        ("reason",),
        lambda report, _: [((reason,), n) for reason, n in report.figures.rejected.items()],
    ),
    "crm_repairs": (
        "Events cleaned, by rule and by the library that sent them.",
        ("rule", "source"),
        lambda report, _: list(report.figures.repairs.items()),
    ),
    "crm_segment_moves": (
        "Customers who went from one segment to another.",
        ("before", "after"),
        lambda report, _: list(report.figures.moves.items()),
    ),
    "crm_actions": (
        "Decisions, by action and what became of it.",
        ("action", "status"),
        lambda report, _: list(report.figures.actions.items()),
    ),
    "crm_webhooks": (
        "Actions delivered, put back or dropped, and attempts, by endpoint.",
        ("endpoint", "result"),
        lambda report, _: list(report.figures.webhooks.items()),
    ),
}
GAUGES: Final[dict[str, tuple[str, tuple[str, ...], Read]]] = {
    "crm_role_live": (
        "1 where the role goes on by itself.",
        (),
        lambda report, _: [((), report.health.live)],
    ),
    "crm_role_ready": (
        "1 where the role does its work.",
        (),
        lambda report, _: [((), report.health.ready)],
    ),
    "crm_partitions": (
        "Partitions that the role reads.",
        (),
        lambda report, _: [((), report.health.partitions)],
    ),
    "crm_lag_records": (
        "Records known of and not done with.",
        ("topic", "partition"),
        _lag,
    ),
    "crm_restore_remaining_records": (
        "Offsets that a restore has yet to read.",
        (),
        lambda report, _: [((), report.health.to_restore)],
    ),
    "crm_model_age_seconds": (
        "Time since the model in use was published.",
        ("model",),
        _model_age,
    ),
    "crm_cache_age_seconds": (
        "Age of the newest record in the cache while others wait; 0 where none does.",
        (),
        _cache_age,
    ),
    "crm_webhook_disabled": (
        "1 where an endpoint is disabled and gets nothing.",
        ("endpoint",),
        lambda report, _: [((name,), off) for name, off in report.figures.disabled.items()],
    ),
    "crm_settled_quality": (
        "Quality of predictions published before their labels were known.",
        ("model", "window", "figure"),
        lambda report, _: list(report.figures.quality.items()),
    ),
}
BATCHES: Final = "crm_batch_seconds"
METRICS: Final = frozenset({*COUNTERS, *GAUGES, BATCHES})


class _Roles(Collector):
    """The figures of all roles as of one moment."""

    def __init__(self, reports: Mapping[str, Report], now: float) -> None:
        self._reports = reports
        self._now = now

    def collect(self) -> Iterator[Metric]:
        for name, (help_, labels, read) in COUNTERS.items():
            counter = CounterMetricFamily(name, help_, labels=("role", *labels))
            for values, number in self._rows(read):
                counter.add_metric(values, number)
            yield counter
        for name, (help_, labels, read) in GAUGES.items():
            gauge = GaugeMetricFamily(name, help_, labels=("role", *labels))
            for values, number in self._rows(read):
                gauge.add_metric(values, number)
            yield gauge
        batches = SummaryMetricFamily(BATCHES, "Time that batches took.", labels=("role",))
        for role, report in self._reports.items():
            figures = report.figures
            batches.add_metric((role,), figures.batches, figures.batch_seconds)
        yield batches

    def _rows(self, read: Read) -> Iterator[tuple[tuple[str, ...], float]]:
        for role, report in self._reports.items():
            for labels, number in read(report, self._now):
                yield (role, *labels), float(number)


class _Build(Collector):
    def collect(self) -> Iterator[Metric]:
        build = GaugeMetricFamily("crm_build_info", "Always 1.", labels=("version",))
        build.add_metric((__version__,), 1.0)
        yield build


def registry() -> CollectorRegistry:
    """Make the registry of one worker: of this process, and what HTTP counts by itself."""
    made = CollectorRegistry(auto_describe=False)
    made.register(_Build())
    ProcessCollector(registry=made)
    return made


def text(reports: Mapping[str, Report], counted: CollectorRegistry) -> bytes:
    """Write everything in Prometheus' text format.

    Parameters
    ----------
    reports
        Of all roles.
    counted
        From `registry`.
    """
    roles = CollectorRegistry(auto_describe=False)
    roles.register(_Roles(reports, time.time()))
    return generate_latest(roles) + generate_latest(counted)
