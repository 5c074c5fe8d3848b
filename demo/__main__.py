"""`python -m demo up|down`, called by `make demo` and `make clean`."""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from demo import alone, chart, datasets, images, jobs, live
from demo import cluster as clusters
from demo.cluster import Cluster
from demo.commands import DemoError, say, step
from local_cluster.errors import ClusterError
from local_cluster.settings import cache_folder


def up(context: str | None, registry: str | None) -> None:
    """From nothing to three trained models."""
    begun = time.monotonic()
    with step(1, "a Kubernetes cluster"):
        cluster = clusters.start(context, beside=images.prepare)
    if cluster is None:
        alone.run_jobs()
        return
    remember(cluster)
    with step(2, "two images, from their Dockerfiles"):
        built = images.build(cluster, registry)
    with step(3, "the operator, two replicas, and its store, by helm"):
        chart.install(cluster, built)
    with step(4, "datasets of handwritten digits, uploaded through S3"):
        datasets.upload(cluster)
    with step(5, "three jobs, two projects"):
        names = jobs.submit(cluster, with_gpus=cluster.gpus() > 0)
        ended = live.watch(lambda: jobs.look(cluster, names), Console())
    tell(cluster, ended, time.monotonic() - begun)
    if any(job.phase != "Succeeded" for job in ended):
        raise DemoError("not every job succeeded")


def tell(cluster: Cluster, ended: list[jobs.JobView], seconds: float) -> None:
    """How it ended, and what to try next."""
    for job in ended:
        say(f"{job.name}: {job.phase}")
        for name, value in sorted(job.metrics.items()):
            say(f"  {name} = {value}")
        say(f"  model: {job.model}" if job.model else f"  {job.trouble}")
    kubectl = " ".join([*cluster.kubectl_command, "-n", chart.NAMESPACE])
    say(f"\nAll of it took {seconds:.0f} s. Try next:")
    say(f"  {kubectl} get sihljob -o wide")
    say(f"  {kubectl} describe sihljob {ended[0].name}")
    say(f"  {kubectl} logs {ended[0].project}-runner")
    say("`make clean` takes down what was started.")


def down() -> None:
    """Take down what `up` started, and nothing else."""
    if not memory().exists():
        say("nothing to take down: no demo has been started")
        return
    cluster = Cluster(**json.loads(memory().read_text()))
    if cluster.started:
        clusters.stop(cluster)
        say("taken down: the cluster")
    elif cluster.answers:
        chart.uninstall(cluster)
        say("taken down: the chart, its namespaces and jobs; the cluster is not the demo's")
    else:
        say("the cluster is gone already")
    memory().unlink()


def memory() -> Path:
    """The file that says what the demo runs on."""
    return cache_folder() / "demo.json"


def remember(cluster: Cluster) -> None:
    """Note the cluster for `down`; one that an earlier demo started stays the demo's."""
    if memory().exists():
        earlier = json.loads(memory().read_text())
        same = (earlier["kind"], earlier["context"]) == (cluster.kind, cluster.context)
        if same and earlier["started"]:
            return
    memory().write_text(json.dumps(asdict(cluster)))


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
    except (DemoError, ClusterError) as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\ninterrupted; `make clean` takes down what was started", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
