"""What those without Helm apply, on a real API server."""

from __future__ import annotations

from pathlib import Path

import yaml
from kubernetes import client

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
        # Names of these tests' own: other tests leave theirs behind, about to be gone.
        metadata, place = each["metadata"], "name" if each["kind"] == "Namespace" else "namespace"
        if place in metadata:
            metadata[place] = f"kustomize-{metadata[place]}"
        if each["kind"] == "Namespace":  # a dry run makes none for what lies in it
            client.CoreV1Api(api).create_namespace(each)
    arguments = ("apply", "--server-side", "--force-conflicts", "--dry-run=server", "-f", "-")
    taken = run(*kubectl, *arguments, text=yaml.safe_dump_all(objects)).splitlines()
    assert len(taken) == len(objects)
    images = [line.strip() for line in text.splitlines() if line.strip().startswith("image: ")]
    assert images
    assert all("registry.example.org/" in image for image in images)
    assert "registry.example.org/sihl/trainer" in text
