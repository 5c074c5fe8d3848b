"""Which cluster the demo runs on, and what is taken down: the programs it calls only note that."""

from __future__ import annotations

import base64
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import local_cluster
from demo import __main__ as demo
from demo import alone, chart, datasets, images, jobs
from demo import cluster as clusters
from demo.cluster import Cluster
from demo.commands import DemoError
from local_cluster.programs import program
from local_cluster.settings import GPU_RESOURCE
from tests.support.programs import Programs
from tests.support.s3 import S3Server

ROOT = Path(__file__).parents[2]
HELM = program("helm")  # the machine's: tests have a cache of their own
KIND = Cluster("kind", "kind-sihl", "", started=True)
REFUSES = ("version", "get nodes")
DELETES = ("delete", "uninstall", "down", "prune", "stop", "rm", "rmi")


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    """A machine with no program but these, and an empty cache."""
    programs = Programs(tmp_path)
    monkeypatch.setenv("PATH", str(programs.path))
    monkeypatch.setenv("SIHL_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    return programs


class LocalCluster:
    """What the demo asks of local_cluster, whose programs take minutes to build and to start."""

    done: list[str]  # set anew for each test

    def __init__(self) -> None:
        self.kubeconfig = ROOT / "Makefile"  # any file
        self.healthy = "up" in self.done

    def up(self, beside: Callable[[], None]) -> None:
        self.done.append("up")

    def down(self) -> None:
        self.done.append("down")


@pytest.fixture
def local(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A machine that suits local_cluster; what was asked of it."""
    LocalCluster.done = []
    monkeypatch.setattr(local_cluster, "Cluster", LocalCluster)
    monkeypatch.setattr(clusters, "can_be_local", lambda: None)
    return LocalCluster.done


def listed(*items: dict[str, Any]) -> str:
    return json.dumps({"items": items})


def node(name: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "status": {"allocatable": {GPU_RESOURCE: "2"}}}


def run_demo(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["demo", *arguments])
    return demo.main()


# --- which cluster ---------------------------------------------------------------------------


def test_a_context_that_is_given_is_used_whatever_else_there_is(programs: Programs) -> None:
    for name in ("docker", "kind", "kubectl"):
        programs.add(name)
    cluster = clusters.choose("mine")
    assert cluster == Cluster("given", "mine", "", started=False)
    clusters.start(cluster, beside=pytest.fail)
    (call,) = programs.calls
    assert call.startswith("kubectl --context=mine version")


def test_a_context_that_does_not_answer_is_told_and_nothing_else_is_tried(
    programs: Programs, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    programs.add("kubectl", fails_at=("version",))
    programs.add("docker")
    programs.add("kind")
    assert run_demo(monkeypatch, "up", "--context", "mine") == 2
    said = capfd.readouterr().err
    assert said == "the cluster of CONTEXT=mine does not answer `kubectl version`\n"
    assert not programs.called("kind")
    assert demo.recall() == []


def test_where_docker_and_kind_are_a_kind_cluster_is_made_whose_nodes_offer_gpus(
    programs: Programs,
) -> None:
    programs.add("docker")
    programs.add("kind", {"get clusters": "another\n"})
    programs.add("kubectl", {"get nodes": listed(node("one"), node("two"))})
    cluster = clusters.choose(None)
    assert cluster == KIND
    clusters.start(cluster, beside=pytest.fail)
    assert programs.called("kind create") == [
        f"kind create cluster --name sihl --config {ROOT / 'kind-config.yaml'}"
    ]
    patches = programs.called("kubectl --context=kind-sihl patch node")
    assert [call.split()[4] for call in patches] == ["one", "two"]
    assert all('"/status/capacity/nvidia.com~1gpu", "value": "2"' in call for call in patches)


def test_a_kind_cluster_that_is_there_is_used_and_is_not_the_demos(programs: Programs) -> None:
    programs.add("docker")
    programs.add("kind", {"get clusters": "another\nsihl\n"})
    programs.add("kubectl", {"get nodes": listed()})
    cluster = clusters.choose(None)
    assert cluster is not None
    assert not cluster.started
    clusters.start(cluster, beside=pytest.fail)
    assert not programs.called("kind create")


@pytest.mark.parametrize(
    ("engine", "told"),
    [
        ((), "docker does not run here"),
        (("docker is there, its daemon is not",), "docker does not run here"),
        (("docker",), "docker runs here, but kind is missing (https://kind.sigs.k8s.io)"),
    ],
    ids=["no engine", "an engine that does not run", "an engine without kind"],
)
def test_what_kind_lacks_is_told_and_a_local_cluster_is_started(
    programs: Programs, local: list[str], capfd: pytest.CaptureFixture[str],
    engine: tuple[str, ...], told: str,
) -> None:  # fmt: skip
    if engine:
        programs.add("docker", fails_at=() if engine == ("docker",) else ("info",))
    cluster = clusters.choose(None)
    assert cluster == Cluster("local", "", str(LocalCluster().kubeconfig), started=True)
    assert capfd.readouterr().out == f"Without kind ({told}): a cluster by local_cluster\n"
    clusters.start(cluster, beside=lambda: None)
    assert local == ["up"]
    again = clusters.choose(None)
    assert again is not None
    assert not again.started


def test_an_engine_without_kind_where_no_local_cluster_can_be_is_told_in_a_line(
    programs: Programs, capfd: pytest.CaptureFixture[str]
) -> None:
    programs.add("docker")
    assert clusters.choose(None) is None  # there is no apt-get on the test's PATH
    said = capfd.readouterr().out
    assert said.startswith("No cluster: docker runs here, but kind is missing")
    assert "a local cluster needs" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("given", "option"), [("/etc/one", ["--kubeconfig=/etc/one"]), ("/etc/one:/etc/two", [])]
)
def test_a_kubeconfig_of_several_files_is_left_to_kubectl(
    programs: Programs, monkeypatch: pytest.MonkeyPatch, given: str, option: list[str]
) -> None:
    monkeypatch.setenv("KUBECONFIG", given)
    programs.add("kubectl")
    cluster = clusters.choose("mine")
    assert cluster is not None
    assert cluster.kubectl_command[1:] == [*option, "--context=mine"]


def test_a_missing_kubectl_is_told_with_the_remedy(programs: Programs) -> None:
    with pytest.raises(DemoError, match="kubectl is missing: install it"):
        clusters.choose("mine")


# --- the whole of it -------------------------------------------------------------------------


def store(s3: S3Server) -> dict[str, str]:
    keys = {
        "endpoint": f"http://store.svc:{s3.endpoint.rsplit(':', 1)[1]}",
        "bucket": "demo",
        "region": "us-east-1",
        "accessKeyId": s3.admin[0],
        "secretAccessKey": s3.admin[1],
    }
    return {name: base64.b64encode(value.encode()).decode() for name, value in keys.items()}


def ended_jobs(phase: str) -> str:
    """All of the demo's jobs, as `kubectl get` shows them at the end."""
    status = {"phase": phase, "metrics": {"digit/accuracy": "0.98"}, "model": {"uri": "s3://m"}}
    return listed(*({**jobs.read(path), "status": status} for path in jobs.FILES))


def install_kind(programs: Programs, s3: S3Server, phase: str = "Succeeded") -> None:
    """A machine with docker and kind, on whose cluster all jobs end so."""
    programs.add("docker")
    programs.add("kind")
    programs.add("helm", really={"package": HELM})
    programs.add(
        "kubectl",
        {
            "get nodes": listed(node("one")),
            "get storageclasses": listed(),
            "get namespaces": listed({"metadata": {"name": chart.NAMESPACE}}),
            "get secret": json.dumps({"data": store(s3)}),
            "get service": json.dumps({"spec": {"clusterIP": "127.0.0.1"}}),
            "get trainingjobs": ended_jobs(phase),
        },
    )


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Datasets of a few images."""
    monkeypatch.setattr(datasets, "IMAGES", {"detection": (4, 2), "classification": (4, 2)})


def test_on_kind_the_demo_builds_loads_installs_uploads_submits_and_tells_the_end(
    programs: Programs, s3: S3Server, small: None,
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    install_kind(programs, s3)
    assert run_demo(monkeypatch, "up") == 0
    for name in images.DOCKERFILES:
        tag = f"sihl/{name}:demo-{images.source_digest(name)}"
        assert programs.called(f"docker build -t {tag} ")
        assert programs.called(f"kind load docker-image {tag} --name sihl")
        assert f"--set {name}.image.repository=sihl/{name}" in programs.called("helm")[-1]
    found = s3.client.list_objects_v2(Bucket="demo", Prefix=f"{datasets.PREFIX}/")["Contents"]
    assert {key["Key"].split("/")[1] for key in found} == set(datasets.IMAGES)
    submitted = [
        line.removeprefix("  name: ")
        for line in programs.calls
        if line.startswith("  name: digits")
    ]
    names = [jobs.read(path)["metadata"]["name"] for path in jobs.FILES]
    assert [name for name in submitted if name in names] == names
    said = capfd.readouterr().out
    for name in names:
        assert f"{name}: Succeeded\n  digit/accuracy = 0.98\n  model: s3://m\n" in said
    kubectl, sihl = "kubectl --context=kind-sihl", "kubectl sihl --context=kind-sihl -n digits"
    project = jobs.read(jobs.FILES[0])["spec"]["project"]
    for line in (
        f'export PATH={Path(sys.executable).parent}:"$PATH"',  # the plugin's; kubectl is on it
        f"{sihl} compare digits-detection digits-detection-fast --diff-only",
        f"{sihl} metrics {names[0]} --plot",
        f"{kubectl} -n digits describe sihljob {names[0]}",
        f"{kubectl} -n sihl-system port-forward service/sihl-dashboard 8080:80",
        f"{kubectl} -n digits create token {chart.USER} --duration=8h",
        f"http://localhost:8080/digits/{project}",
    ):
        assert f"  {line}\n" in said
    for file in re.findall(r"gitops/\S+", said):
        assert (ROOT / file).is_file()
    assert "patch configmap argocd-cm --patch-file gitops/argo-cd/argocd-cm.yaml\n" in said
    assert programs.calls.count("kind: RoleBinding") == 1
    assert demo.recall() == [KIND]


def test_a_job_that_fails_fails_the_demo(
    programs: Programs, s3: S3Server, small: None,
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    install_kind(programs, s3, phase="Failed")
    assert run_demo(monkeypatch, "up") == 2
    assert "not every job succeeded" in capfd.readouterr().err


def test_a_start_that_is_broken_off_can_be_taken_down(
    programs: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs.add("docker")
    programs.add("kind", fails_at=("create cluster",))
    assert run_demo(monkeypatch, "up") == 2
    demo.down()
    assert programs.called("kind delete") == ["kind delete cluster --name sihl"]


def test_the_demo_alone_is_told_and_leaves_nothing_to_take_down(
    programs: Programs, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(alone, "FILES", ())
    assert run_demo(monkeypatch, "up") == 0
    assert "by `sihl-trainer local`" in capfd.readouterr().out
    assert run_demo(monkeypatch, "down") == 0
    assert capfd.readouterr().out == "nothing to take down: no demo has been started\n"


# --- make clean ------------------------------------------------------------------------------


def takes_down(programs: Programs) -> list[str]:
    """The calls that take something down."""
    return [call for call in programs.calls if set(DELETES) & set(call.split())]


def test_a_kind_cluster_of_the_demos_is_deleted_and_nothing_else(
    programs: Programs, local: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    for name in ("docker", "kind", "kubectl", "helm"):
        programs.add(name)
    demo.remember(KIND)
    demo.down()
    assert programs.calls == ["kind delete cluster --name sihl"]
    assert local == []
    assert capfd.readouterr().out == "taken down: kind-sihl\n"
    demo.down()
    assert "nothing to take down" in capfd.readouterr().out


@pytest.mark.parametrize(
    "cluster",
    [Cluster("given", "mine", "", started=False), Cluster("kind", "kind-sihl", "", started=False)],
    ids=["given", "kind"],
)
def test_in_a_cluster_that_is_not_the_demos_only_what_it_brought_is_taken_down(
    programs: Programs, local: list[str], cluster: Cluster
) -> None:
    ours = {"metadata": {"name": chart.NAMESPACE}}
    for name in ("docker", "kind", "helm"):
        programs.add(name)
    programs.add("kubectl", {"get namespaces": listed(ours)})
    demo.remember(cluster)
    demo.down()
    mine = f"-l app.kubernetes.io/instance={chart.RELEASE}"
    reach, helm = f"kubectl --context={cluster.context}", f"helm --kube-context={cluster.context}"
    assert takes_down(programs) == [
        f"{reach} delete namespace digits --timeout=5m",
        f"{helm} uninstall sihl-demo --ignore-not-found --wait --namespace sihl-system",
        f"{reach} delete customresourcedefinitions {mine} --timeout=5m",
        f"{reach} delete namespaces {mine} --timeout=5m",
    ]
    assert local == []


def test_a_namespace_that_the_demo_did_not_make_is_left_alone(programs: Programs) -> None:
    programs.add("helm")
    programs.add("kubectl", {"get namespaces": listed()})
    demo.remember(Cluster("given", "mine", "", started=False))
    demo.down()
    assert not any("delete namespace digits" in call for call in programs.calls)


def test_a_local_cluster_of_the_demos_is_taken_down(programs: Programs, local: list[str]) -> None:
    demo.remember(Cluster("local", "", "/kubeconfig", started=True))
    demo.down()
    assert local == ["down"]
    assert programs.calls == []


def test_a_cluster_that_does_not_answer_is_told_and_forgotten(
    programs: Programs, capfd: pytest.CaptureFixture[str]
) -> None:
    programs.add("kubectl", fails_at=("version",))
    demo.remember(Cluster("given", "mine", "", started=False))
    demo.down()
    assert capfd.readouterr().out == "mine is gone already, or does not answer\n"
    assert demo.recall() == []


def test_a_cluster_that_an_earlier_demo_started_stays_the_demos(programs: Programs) -> None:
    there = Cluster("kind", "kind-sihl", "", started=False)
    demo.remember(there)
    demo.remember(KIND)
    demo.remember(there)
    assert demo.recall() == [KIND]


def test_every_cluster_that_the_demo_used_is_taken_down_and_one_that_fails_is_remembered(
    programs: Programs, local: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    programs.add("kind", fails_at=("delete",))
    demo.remember(KIND)
    demo.remember(Cluster("local", "", "/kubeconfig", started=True))
    assert run_demo(monkeypatch, "down") == 2
    assert local == ["down"]
    assert demo.recall() == [KIND]
    programs.add("kind")
    assert run_demo(monkeypatch, "down") == 0
    assert demo.recall() == []
