"""How the dashboard reaches the API server while the cluster's keys change."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from aiohttp import web
from kubernetes import client

from local_cluster.control_plane import free_port
from local_cluster.pki import Pki
from sihl_dashboard.server.kube import Kube, KubeError
from tests.support.certified import serving


async def answer(_: web.Request) -> web.Response:
    return web.json_response({"kind": "Status"})


async def test_an_authority_that_is_replaced_is_read_anew_once_it_is_not_believed(
    tmp_path: Path,
) -> None:
    port, authority = free_port(), tmp_path / "ca.crt"
    old, new = Pki(tmp_path / "old"), Pki(tmp_path / "new")
    for pki in (old, new):
        pki.create_ca()
    shutil.copy(old.ca, authority)
    configuration = client.Configuration()
    configuration.host, configuration.ssl_ca_cert = f"https://127.0.0.1:{port}", str(authority)
    async with Kube(configuration) as kube:
        async with serving(port, old, answer):
            await kube.call("GET", "/version")
        async with serving(port, new, answer):
            shutil.copy(new.ca, authority)
            with pytest.raises(KubeError, match="certificate verify failed"):
                await kube.call("GET", "/version")
            await kube.call("GET", "/version")
            await kube.call("GET", "/version", token="a-persons")
