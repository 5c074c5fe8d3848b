"""What those without Helm apply, on a real API server."""

from __future__ import annotations

from pathlib import Path

import yaml
from kubernetes import client
from kubernetes.client.exceptions import ApiException

from gitops import kustomize
from local_cluster.process import run
from local_cluster.programs import program

EXAMPLE = kustomize.FOLDER / "example"


def test_the_example_is_taken_by_the_api_server_as_it_is(
    api: client.ApiClient, kubeconfig: Path
) -> None:
    kubectl = (program("kubectl"), f"--kubeconfig={kubeconfig}")
    text = run(*kubectl, "kustomize", EXAMPLE)
    objects = list(yaml.safe_load_all(text))
    for each in objects:
        if each["kind"] == "Namespace":  # a dry run makes none for what lies in them
            try:
                client.CoreV1Api(api).create_namespace(each)
            except ApiException as error:
                assert error.status == 409, error
    arguments = ("apply", "--server-side", "--force-conflicts", "--dry-run=server", "-f", "-")
    taken = run(*kubectl, *arguments, text=text).splitlines()
    assert len(taken) == len(objects)
    images = [line.strip() for line in text.splitlines() if line.strip().startswith("image: ")]
    assert images
    assert all("registry.example.org/" in image for image in images)
    assert "registry.example.org/sihl/trainer" in text
