"""`python -m demo up|down`, called by `make demo` and `make clean`."""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

from rich.console import Console

from demo import alone, chart, datasets, images, jobs, live
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
    say(f"\nAll of it took {seconds:.0f} s.")
    show_dashboard(cluster, ended[0])
    say("Try next:")
    say(f"  {kubectl} get sihljob -o wide")
    say(f"  {kubectl} describe sihljob {ended[0].name}")
    say(f"  {kubectl} logs {ended[0].project}-runner")
    show_argo_cd(cluster)
    say("`make clean` takes down what was started.")


def show_dashboard(cluster: Cluster, job: jobs.JobView) -> None:
    """Where a job's project is seen in the browser, and what opens it."""
    kubectl = " ".join(cluster.kubectl_command)
    say(f"\nThe dashboard: http://localhost:8080/{chart.NAMESPACE}/{job.project}")
    say("It is there while this runs:")
    say(f"  {kubectl} -n {chart.SYSTEM_NAMESPACE} port-forward service/sihl-dashboard 8080:80")
    say("and lets in whoever has the token that this prints:")
    say(f"  {kubectl} -n {chart.NAMESPACE} create token {chart.USER} --duration=8h\n")


def show_argo_cd(cluster: Cluster) -> None:
    """How a cluster's Argo CD is told of the operator and its jobs."""
    kubectl, folder = " ".join(cluster.kubectl_command), "gitops/argo-cd"
    patch = f"patch configmap argocd-cm --patch-file {folder}/argocd-cm.yaml"
    say("Run by an Argo CD, once the addresses in its files are yours (docs/gitops.md):")
    say(f"  {kubectl} -n argocd {patch}")
    files = ("projects", "application", "applicationset")
    say(f"  {kubectl} apply {' '.join(f'-f {folder}/{name}.yaml' for name in files)}")


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
