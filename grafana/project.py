"""A project: its jobs' curves, laid over each other, their progress and their checkpoints."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row

from grafana.panels import begun, chosen, curves, rows

_OF_PROJECT = 'namespace=~"$namespace", project=~"$project"'
_WHOSE = f'{_OF_PROJECT}, training_job=~"$training_job"'
_JOB = "{{training_job}}"


def _of_jobs(expression: str, *labels: str) -> str:
    """Of pods' metrics, those of the chosen jobs, one series a job and value of the labels."""
    by = ", ".join(("namespace", "project", "training_job", *labels))
    taken = "on (job, instance) group_left (namespace, project, training_job)"
    return f"max by ({by}) ({expression} * {taken} sihl_job_info{{{_WHOSE}}})"


def project() -> Dashboard:
    """For who trains."""
    found = begun(
        "sihl-project",
        "sihl: a project",
        "What the jobs of a project learn, live. What they learnt stays in their records: the "
        "dashboard of sihl itself compares those.",
    )
    where = 'namespace=~"$namespace"'
    for name, label, query in (
        ("namespace", "Namespace", "label_values(sihl_job_info, namespace)"),
        ("project", "Project", f"label_values(sihl_job_info{{{where}}}, project)"),
        ("training_job", "Job", f"label_values(sihl_job_info{{{_OF_PROJECT}}}, training_job)"),
        ("metric", "Metric of validation", "label_values(sihl_training_metric, metric)"),
    ):
        found = found.with_variable(chosen(name, label, query))
    return _dataset(_checkpoints(_progress(_learning(found))))


def _learning(found: Dashboard) -> Dashboard:
    metric = _of_jobs('sihl_training_metric{metric=~"$metric"}', "head", "metric")
    loss = _of_jobs("sihl_training_loss", "head", "loss")
    rate = _of_jobs("sihl_training_learning_rate")
    return (
        found.with_row(Row("Learning"))
        .with_panel(
            curves(
                "$metric", "Of each validation.", {f"{_JOB} {{{{head}}}}": metric}, span=8
            ).repeat("metric")
        )
        .with_panel(
            curves(
                "Loss",
                "Mean since the last report.",
                {f"{_JOB} {{{{head}}}}/{{{{loss}}}}": loss},
                span=8,
            )
        )
        .with_panel(curves("Learning rate", "Of the last step.", {_JOB: rate}, "sci", 8))
    )


def _progress(found: Dashboard) -> Dashboard:
    done = f"{_of_jobs('sihl_training_step')} / {_of_jobs('sihl_training_max_steps')}"
    images = _of_jobs("sihl_training_images_per_second")
    places = (
        'max by (namespace, queue, training_job) (sihl_job_queue_position{namespace=~"$namespace", '
        'queue=~"$project"})'
    )
    return (
        found.with_row(Row("Progress"))
        .with_panel(curves("Steps done", "Of all.", {_JOB: done}, "percentunit", 8))
        .with_panel(curves("Images a second", "Of training.", {_JOB: images}, span=8))
        .with_panel(rows("In line", "The queue that is called as the project.", places, 8))
    )


def _checkpoints(found: Dashboard) -> Dashboard:
    age = f"time() - {_of_jobs('sihl_checkpoint_timestamp_seconds')}"
    unsaved = {
        f"{_JOB}": _of_jobs("sihl_training_unsaved_seconds"),
        f"{_JOB}: interval": _of_jobs("sihl_checkpoint_interval_seconds"),
    }
    upload = _of_jobs("sihl_checkpoint_upload_seconds")
    return (
        found.with_row(Row("Checkpoints and record"))
        .with_panel(
            curves("Training that is not saved", "And the interval.", unsaved, "s", 8)
        )
        .with_panel(curves("Last checkpoint's age", "Saved by any attempt.", {_JOB: age}, "s", 8))
        .with_panel(
            curves(
                "Last checkpoint's step", "Durable.", {_JOB: _of_jobs("sihl_checkpoint_step")},
                span=8,
            )
        )
        .with_panel(curves("Upload", "Of the last checkpoint.", {_JOB: upload}, "s", 8))
        .with_panel(
            curves("Size", "Of the last checkpoint.", {_JOB: _of_jobs("sihl_checkpoint_bytes")},
                   "bytes", 8)
        )
        .with_panel(
            curves(
                "Record", "1 while it can be written.", {_JOB: _of_jobs("sihl_record_writable")},
                span=8,
            )
        )
    )  # fmt: skip


def _dataset(found: Dashboard) -> Dashboard:
    bytes_, checked = (
        {
            f"{_JOB} {{{{split}}}}": _of_jobs(done, "split"),
            f"{_JOB} {{{{split}}}}: all": _of_jobs(whole, "split"),
        }
        for done, whole in (
            ("sihl_dataset_bytes", "sihl_dataset_total_bytes"),
            ("sihl_dataset_checked_images", "sihl_dataset_images"),
        )
    )
    return (
        found.with_row(Row("Dataset, while it is fetched"))
        .with_panel(curves("Fetched", "To the node's disk.", bytes_, "bytes"))
        .with_panel(curves("Checked", "Images that were decoded.", checked))
    )
