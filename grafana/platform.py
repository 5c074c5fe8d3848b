"""The platform: queues, waits, GPUs used and idle, stops, the operator, the dashboard's server."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row

from grafana.panels import begun, chosen, curves, number, rows

_NS = 'namespace=~"$namespace"'


def _over_all(metric: str, labels: str, matching: str = "") -> str:
    """Of a gauge of jobs, which each replica of the operator tells, one series each."""
    where = ",".join(part for part in (_NS, matching) if part)
    return f"max by ({labels}) ({metric}{{{where}}})"


def _jobs(phase: str) -> str:
    found = _over_all("sihl_jobs", "namespace, queue", f'phase="{phase}"')
    return f"sum({found})"


def _quantiles(histogram: str) -> dict[str, str]:
    """Half and nine tenths of what ended within the last hour took no longer."""
    series = f"increase({histogram}_bucket{{{_NS}}}[1h])"
    return {
        legend: f"histogram_quantile({share}, sum by (le) ({series}))"
        for legend, share in (("half", 0.5), ("nine tenths", 0.9))
    }


def platform() -> Dashboard:
    """For who runs the cluster."""
    found = begun(
        "sihl-platform",
        "sihl: the platform",
        "Queues, waits, GPUs, stops, and the operator itself.",
    ).with_variable(chosen("namespace", "Namespace", "label_values(sihl_jobs, namespace)"))
    return _servers(_operator(_stops(_gpus(_queues(_now(found))))))


def _now(found: Dashboard) -> Dashboard:
    used, idle = (f'sum(max by (node) (sihl_gpus{{state="{s}"}}))' for s in ("used", "idle"))
    return (
        found.with_row(Row("Now"))
        .with_panel(number("Leader", "Replicas that lead: one.", {"": "sum(sihl_operator_leader)"}))
        .with_panel(number("Training", "Jobs that train.", {"": _jobs("Running")}))
        .with_panel(number("Starting", "Jobs whose dataset is fetched.", {"": _jobs("Starting")}))
        .with_panel(number("Waiting", "Jobs in a queue.", {"": _jobs("Queued")}))
        .with_panel(number("GPUs used", "By whoever has them.", {"": used}))
        .with_panel(number("GPUs idle", "On nodes that take pods.", {"": idle}))
    )


def _queues(found: Dashboard) -> Dashboard:
    alive = 'phase!~"Succeeded|Failed|Stopped"'
    by_phase = f"sum by (phase) ({_over_all('sihl_jobs', 'namespace, queue, phase', alive)})"
    waiting = _over_all("sihl_jobs", "namespace, queue", 'phase="Queued"')
    return (
        found.with_row(Row("Queues"))
        .with_panel(
            curves("Jobs", "Those that have not ended.", {"{{phase}}": by_phase}, stacked=True)
        )
        .with_panel(curves("Waiting", "Jobs by queue.", {"{{namespace}}/{{queue}}": waiting}))
        .with_panel(
            curves(
                "Wait for the first attempt",
                "From submission; of what began within the last hour.",
                _quantiles("sihl_job_queue_wait_seconds"),
                "s",
            )
        )
        .with_panel(
            curves(
                "From admission to training",
                "Image, dataset, check; of what began within the last hour.",
                _quantiles("sihl_job_time_to_running_seconds"),
                "s",
            )
        )
        .with_panel(
            rows(
                "Queues that nobody has, and that wait",
                "Why the first job of each waits, and for how many GPUs.",
                _over_all("sihl_queue_waiting_gpus", "namespace, queue, reason"),
            )
        )
        .with_panel(
            rows(
                "Jobs that are kept from starting",
                "By what somebody can mend: the reason is the job's condition's.",
                _over_all("sihl_job_hindered", "namespace, queue, training_job, reason"),
            )
        )
    )


def _gpus(found: Dashboard) -> Dashboard:
    of_nodes = "max by (node, state) (sihl_gpus)"
    return (
        found.with_row(Row("GPUs"))
        .with_panel(
            curves(
                "GPUs",
                "Used, idle, or away with a node that takes no pods.",
                {"{{state}}": f"sum by (state) ({of_nodes})"},
                stacked=True,
            )
        )
        .with_panel(curves("By node", "As told.", {"{{node}} {{state}}": of_nodes}))
    )


def _stops(found: Dashboard) -> Dashboard:
    age = _over_all("sihl_job_checkpoint_age_seconds", "namespace, training_job")
    return (
        found.with_row(Row("Stops and checkpoints"))
        .with_panel(
            curves(
                "Stops",
                "From the request to the pod's end; of what stopped within the last hour.",
                _quantiles("sihl_job_stop_seconds"),
                "s",
            )
        )
        .with_panel(
            curves(
                "Checkpoints' age",
                "Of active jobs that have one.",
                {"{{namespace}}/{{training_job}}": age},
                "s",
            )
        )
    )


def _operator(found: Dashboard) -> Dashboard:
    writes = "sum by (verb, resource) (rate(sihl_operator_api_writes_total[$__rate_interval]))"
    rounds = "rate(sihl_operator_decision_seconds_{}[$__rate_interval])"
    slow = f"histogram_quantile(0.99, sum by (le) ({rounds.format('bucket')}))"
    return (
        found.with_row(Row("The operator"))
        .with_panel(
            curves("Writes to the API server", "Tried.", {"{{verb}} {{resource}}": writes}, "reqps")
        )
        .with_panel(
            curves(
                "Rounds of decisions",
                "How long they take, and how many there are.",
                {"99 of 100": slow, "a second": f"sum({rounds.format('count')})"},
                "s",
            )
        )
    )


def _servers(found: Dashboard) -> Dashboard:
    rate = "rate({}[$__rate_interval])"
    answered = f"sum by (status) ({rate.format('sihl_dashboard_requests_total')})"
    buckets = rate.format("sihl_dashboard_request_seconds_bucket")
    return (
        found.with_row(Row("The dashboard's server"))
        .with_panel(curves("Requests", "By status.", {"{{status}}": answered}, "reqps", 8))
        .with_panel(
            curves(
                "Time to answer",
                "But for streams, by route.",
                {"{{route}}": f"histogram_quantile(0.9, sum by (le, route) ({buckets}))"},
                "s",
                8,
            )
        )
        .with_panel(
            curves(
                "Streams, reviews, a store that is away",
                "Open streams; questions to the API server about people; readings unanswered.",
                {
                    "streams": "sum(sihl_dashboard_streams)",
                    "reviews a second: {{kind}} {{answer}}": "sum by (kind, answer) "
                    f"({rate.format('sihl_dashboard_reviews_total')})",
                    "unanswered a second": f"sum({rate.format('sihl_dashboard_store_away_total')})",
                },
                "short",
                8,
            )
        )
    )
