"""What is told at the end: how the jobs ended, and what to try next."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

from demo import chart
from demo.cluster import Cluster, tool
from demo.commands import ROOT, say
from demo.jobs import JobView

PORT = 8080
_ARGO_CD = ("projects", "application", "applicationset")


def tell(cluster: Cluster, ended: list[JobView], seconds: float) -> None:
    """How it ended, and commands for a shell that answer what one asks next."""
    for job in ended:
        say(f"{job.name}: {job.phase}")
        for name, value in sorted(job.metrics.items()):
            say(f"  {name} = {value}")
        say(f"  model: {job.model}" if job.model else f"  {job.trouble}")
    say(f"\nAll of it took {seconds:.0f} s. What follows is for a shell, once it has been told:")
    _say_all(exports(cluster))
    project = ended[0].project
    compared = [job.name for job in ended if job.project == project]
    kubectl, sihl = " ".join(_kubectl(cluster)), " ".join(_kubectl(cluster, "sihl"))
    say("\nWhich of its jobs was better, and why? In the terminal (docs/command-line.md):")
    _say_all(
        f"{sihl} -n {chart.NAMESPACE} {command}"
        for command in (
            f"compare {' '.join(compared)} --diff-only",
            f"metrics {ended[0].name} --plot",
            "list -o wide",
        )
    )
    say("In the browser, while the first of these runs, with the token that the second prints:")
    _say_all(
        (
            f"{kubectl} -n {chart.SYSTEM_NAMESPACE} port-forward service/sihl-dashboard {PORT}:80",
            f"{kubectl} -n {chart.NAMESPACE} create token {chart.USER} --duration=8h",
            f"http://localhost:{PORT}/{chart.NAMESPACE}/{project}",
        )
    )
    say("\nWhat Kubernetes has of a job:")
    _say_all((f"{kubectl} -n {chart.NAMESPACE} describe sihljob {ended[0].name}",))
    say(
        "\nIn a cluster that has an Argo CD, this makes it run operator and jobs from Git, once the"
    )
    say("addresses in the files are yours (docs/gitops.md):")
    _say_all(argo_cd(kubectl))
    say("\n`make demo` again runs the jobs anew; `make clean` takes down what was started.")


def exports(cluster: Cluster) -> list[str]:
    """What a shell has to be told to find this cluster, its kubectl, and kubectl's plugin."""
    folders = [Path(sys.executable).parent]  # its environment has the plugin
    kubectl = tool("kubectl")
    if kubectl != shutil.which("kubectl"):
        folders.append(Path(kubectl).parent)
    path = ":".join([*(shlex.quote(str(folder)) for folder in folders), '"$PATH"'])
    found = [f"export PATH={path}"]
    if cluster.kubeconfig:
        found.append(f"export KUBECONFIG={shlex.quote(cluster.kubeconfig)}")
    return found


def argo_cd(kubectl: str) -> list[str]:
    """How a cluster's Argo CD is told of the operator and its jobs."""
    folder = (ROOT / "gitops" / "argo-cd").relative_to(ROOT)
    files = " ".join(f"-f {folder}/{name}.yaml" for name in _ARGO_CD)
    return [
        f"{kubectl} -n argocd patch configmap argocd-cm --patch-file {folder}/argocd-cm.yaml",
        f"{kubectl} apply {files}",
    ]


def _kubectl(cluster: Cluster, *plugin: str) -> list[str]:
    """Kubectl takes a plugin's options behind its name only."""
    return ["kubectl", *plugin, *([f"--context={cluster.context}"] if cluster.context else [])]


def _say_all(lines: Iterable[str]) -> None:
    for line in lines:
        say(f"  {line}")
