"""A real API server (etcd and controllers beside it, no node) for the tests of this folder."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path

import pytest
import yaml
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException

from sihl_api.trainingjob import GROUP, PLURAL, VERSION
from tests.support.identity import trust
from tests.support.oidc import Provider, provided
from tests.support.waiting import eventually

ROOT = Path(__file__).parents[2]


def local_cluster(*arguments: str) -> str:
    """The output of `python -m local_cluster`; its progress goes to the test's log."""
    done = subprocess.run(
        [sys.executable, "-m", "local_cluster", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=1800,
    )
    return done.stdout


def know_training_jobs(kubeconfig: Path) -> None:
    """Install the CRD, and wait until its kind is served."""
    extensions = client.ApiextensionsV1Api(config.new_client_from_config(str(kubeconfig)))
    crd = yaml.safe_load((ROOT / "crds" / "trainingjobs.sihl.ai.yaml").read_text())
    extensions.create_custom_resource_definition(crd)

    def established() -> bool:
        found = extensions.read_custom_resource_definition(crd["metadata"]["name"])
        conditions = found.status.conditions or []
        return any(c.type == "Established" and c.status == "True" for c in conditions)

    eventually(established, 60, 0.1)


@pytest.fixture(scope="session")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    """An identity provider that the API server trusts."""
    folder = tmp_path_factory.mktemp("provider")
    with provided(folder, email_verified=True) as found:
        yield found


@pytest.fixture(scope="session")
def kubeconfig(tmp_path_factory: pytest.TempPathFactory, provider: Provider) -> Iterator[Path]:
    """The kubeconfig of an API server that knows TrainingJobs, for one test session."""
    state = tmp_path_factory.mktemp("control-plane")
    file = state / "authentication.yaml"
    file.write_text(trust(provider))
    words = ("--state", str(state), "--authentication", str(file))
    try:
        path = Path(local_cluster("control-plane", *words).split()[-1])
        os.environ["KUBECONFIG"] = str(path)
        know_training_jobs(path)
        yield path
    finally:
        local_cluster("down", "--state", str(state))


@pytest.fixture(scope="session")
def api(kubeconfig: Path) -> client.ApiClient:
    """An administrator's client."""
    return config.new_client_from_config(str(kubeconfig))


@pytest.fixture(scope="module", autouse=True)
def nothing_stays(api: client.ApiClient) -> Iterator[None]:
    """Remove the jobs and pods that a module leaves: the next one's operator would serve them."""
    yield
    custom, core = client.CustomObjectsApi(api), client.CoreV1Api(api)
    for job in custom.list_cluster_custom_object(GROUP, VERSION, PLURAL)["items"]:
        where = (GROUP, VERSION, job["metadata"]["namespace"], PLURAL, job["metadata"]["name"])
        with _gone_is_fine():
            custom.patch_namespaced_custom_object(*where, {"metadata": {"finalizers": None}})
            custom.delete_namespaced_custom_object(*where)
    for pod in core.list_pod_for_all_namespaces().items:
        with _gone_is_fine():
            core.delete_namespaced_pod(
                pod.metadata.name, pod.metadata.namespace, grace_period_seconds=0
            )


@contextmanager
def _gone_is_fine() -> Iterator[None]:
    try:
        yield
    except ApiException as error:
        if error.status != HTTPStatus.NOT_FOUND:
            raise
