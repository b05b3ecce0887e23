"""What HTTP counts by itself."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["NAMES", "Counting", "Tally"]

BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
NAMES: Final = frozenset(
    {
        "crm_http_requests",
        "crm_http_request_seconds",
        "crm_intake_events",
        "crm_intake_rejected",
        "crm_dashboard_connections",
        "crm_metrics_unreadable",
    }
)


class Tally:
    """Counters of one server.

    Parameters
    ----------
    registry
        Holds them.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "crm_http_requests", "Requests answered.", ("route", "status"), registry=registry
        )
        self.seconds = Histogram(
            "crm_http_request_seconds",
            "Time until the answer was complete.",
            ("route",),
            registry=registry,
            buckets=BUCKETS,
        )
        self.events = Counter(
            "crm_intake_events", "Events that Kafka took from the intake.", registry=registry
        )
        self.rejected = Counter(
            "crm_intake_rejected",
            "Events that the intake did not take.",
            ("reason",),
            registry=registry,
        )
        self.unreadable = Counter(
            "crm_metrics_unreadable",
            "Records of live metrics that the dashboard cannot read.",
            registry=registry,
        )
        self.connections = Gauge(
            "crm_dashboard_connections", "Dashboards that are open.", registry=registry
        )


class Counting:
    """Counts and times every request under the name of its route, which holds nobody's id.

    Parameters
    ----------
    app
        What is called.
    tally
        What counts.
    """

    def __init__(self, app: ASGIApp, tally: Tally) -> None:
        self._app = app
        self._tally = tally

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), 500

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            route: Any = scope.get("route")
            name = getattr(route, "path", "other")
            self._tally.requests.labels(name, str(status)).inc()
            if not name.endswith("/stream"):  # these take as long as somebody looks
                self._tally.seconds.labels(name).observe(time.perf_counter() - began)
