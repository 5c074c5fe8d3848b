"""What Prometheus is told of the dashboard itself; no name of a person, a job or a namespace."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest


class Meters:
    """One server's."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "sihl_dashboard_requests", "Requests answered, by route and status",
            ["route", "status"], registry=self.registry,
        )  # fmt: skip
        self.seconds = Histogram(
            "sihl_dashboard_request_seconds", "Time to answer, but for streams", ["route"],
            buckets=(0.01, 0.03, 0.1, 0.3, 1, 3, 10), registry=self.registry,
        )  # fmt: skip
        self.streams = Gauge(
            "sihl_dashboard_streams", "Open streams of events", registry=self.registry
        )
        self.reviews = Counter(
            "sihl_dashboard_reviews", "Questions to the API server about people",
            ["kind", "answer"], registry=self.registry,
        )  # fmt: skip
        self.store_away = Counter(
            "sihl_dashboard_store_away", "Readings that the store did not answer",
            registry=self.registry,
        )  # fmt: skip

    def written(self) -> bytes:
        """In Prometheus' own format."""
        return generate_latest(self.registry)
