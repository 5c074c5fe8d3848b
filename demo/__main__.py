"""`python -m demo up|down`, called by `make demo` and `make clean`."""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

from rich.console import Console

from demo import afterwards, alone, chart, datasets, images, jobs, live
from demo import cluster as clusters
from demo.cluster import Cluster
from demo.commands import DemoError, say, step
from local_cluster.errors import ClusterError
from local_cluster.settings import cache_folder
from release.errors import ReleaseError


def up(context: str | None, registry: str | None) -> None:
    """From nothing to three trained models."""
    begun = time.monotonic()
    cluster = clusters.choose(context)
    if cluster is None:
        alone.run_jobs()
        return
    remember(cluster)  # before it starts: what is broken off can be taken down too
    with step(1, "a Kubernetes cluster"):
        clusters.start(cluster, beside=images.prepare)
    with step(2, "three images, from their Dockerfiles"):
        built = images.build(cluster, registry)
    with step(3, "the operator, two replicas, its store and its dashboard, by helm"):
        chart.install(cluster, built)
    with step(4, "datasets of handwritten digits, uploaded through S3"):
        datasets.upload(cluster)
    with step(5, "three jobs, two projects"):
        names = jobs.submit(cluster, with_gpus=cluster.gpus() > 0)
        ended = live.watch(lambda: jobs.look(cluster, names), Console())
    afterwards.tell(cluster, ended, time.monotonic() - begun)
    if any(job.phase != "Succeeded" for job in ended):
        raise DemoError("not every job succeeded")


def down() -> None:
    """Take down what `up` started, and nothing else."""
    remembered = recall()
    if not remembered:
        say("nothing to take down: no demo has been started")
    while remembered:
        take_down(remembered[-1])
        note(remembered := remembered[:-1])


def take_down(cluster: Cluster) -> None:
    """The cluster where the demo started it, else what the demo brought into it."""
    name = cluster.context or "the local cluster"
    if cluster.started:
        clusters.stop(cluster)
        say(f"taken down: {name}")
    elif cluster.answers:
        chart.uninstall(cluster)
        say(f"taken down in {name}: the chart, its namespaces and jobs; it is not the demo's")
    else:
        say(f"{name} is gone already, or does not answer")


def memory() -> Path:
    """The file that says which clusters the demo has used."""
    return cache_folder() / "demo-clusters.json"


def recall() -> list[Cluster]:
    """The clusters that the demo has used and not been taken down from."""
    if not memory().exists():
        return []
    return [Cluster(**each) for each in json.loads(memory().read_text())]


def remember(cluster: Cluster) -> None:
    """Note a cluster for `down`; one that an earlier demo started stays the demo's."""

    def as_started(started: bool) -> Cluster:
        return replace(cluster, started=started)

    earlier = recall()
    others = [each for each in earlier if as_started(each.started) != each]
    note([*others, as_started(cluster.started or as_started(True) in earlier)])


def note(remembered: list[Cluster]) -> None:
    """Write which clusters the demo has used."""
    if not remembered:
        memory().unlink()
        return
    memory().parent.mkdir(parents=True, exist_ok=True)
    memory().write_text(json.dumps([asdict(each) for each in remembered]))


def main() -> int:
    """0, or 2 with what is missing or failed."""
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    start = verbs.add_parser("up", help="run the demo")
    start.add_argument("--context", help="the context of a cluster of yours")
    start.add_argument("--registry", help="where its nodes pull images from: host/path")
    verbs.add_parser("down", help="take down what it started")
    given = parser.parse_args()
    try:
        if given.verb == "up":
            up(given.context, given.registry)
        else:
            down()
    except (DemoError, ClusterError, ReleaseError) as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\ninterrupted; `make clean` takes down what was started", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
