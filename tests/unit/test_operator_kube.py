"""Calls and watches beside each other, and how the API server is reached while its keys change."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from aiohttp import web
from kubernetes import config

from local_cluster.control_plane import free_port
from local_cluster.pki import Pki
from sihl_operator import access
from sihl_operator.kube import ApiError, KubeApi, UnavailableError
from tests.support.certified import serving


async def test_watches_of_many_namespaces_leave_calls_their_connections(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    watches = 100
    watched = asyncio.Semaphore(0)

    async def answer(request: web.Request) -> web.StreamResponse:
        if "watch" not in request.query:
            return web.json_response({"metadata": {"name": "job"}})
        stream = web.StreamResponse()
        await stream.prepare(request)
        watched.release()
        await asyncio.Event().wait()
        return stream

    application = web.Application()
    application.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(application, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host = f"http://127.0.0.1:{runner.addresses[0][1]}"
    server = SimpleNamespace(
        host=host,
        ssl_ca_cert=None,
        cert_file=None,
        key_file=None,
        get_api_key_with_prefix=lambda *_: None,
    )
    monkeypatch.setattr(access, "_configuration", lambda: server)
    async with KubeApi(lambda *_: None) as api:
        following = [
            asyncio.create_task(api.open(f"{host}/{number}", {"watch": "1"}))
            for number in range(watches)
        ]
        async with asyncio.timeout(60):
            for _ in range(watches):
                await watched.acquire()
            assert (await api.get_job("team", "job"))["metadata"]["name"] == "job"
        for task in following:
            task.cancel()
        await asyncio.gather(*following, return_exceptions=True)
    await runner.cleanup()


@pytest.fixture
def kubeconfig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[int, Path, Path]:
    """A port, and the files that name the authority and the token to be used there."""
    port, authority, token = free_port(), tmp_path / "ca.crt", tmp_path / "token"
    token.write_text("first")
    server = {"server": f"https://127.0.0.1:{port}", "certificate-authority": str(authority)}
    kubeconfig = {
        "clusters": [{"name": "c", "cluster": server}],
        "users": [{"name": "u", "user": {"tokenFile": str(token)}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "c",
    }
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(kubeconfig))
    monkeypatch.setattr(config.kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(path))
    monkeypatch.setattr(access, "_DOUBTED_SECONDS", 0.0)
    return port, authority, token


async def test_an_authority_or_a_token_that_is_replaced_is_read_anew_once_it_is_not_believed(
    tmp_path: Path, kubeconfig: tuple[int, Path, Path]
) -> None:
    port, authority, token = kubeconfig
    valid = "first"

    async def answer(request: web.Request) -> web.Response:
        known = request.headers["Authorization"] == f"Bearer {valid}"
        return web.json_response({"metadata": {}}, status=200 if known else 401)

    old, new = Pki(tmp_path / "old"), Pki(tmp_path / "new")
    for pki in (old, new):
        pki.create_ca()
    shutil.copy(old.ca, authority)
    async with KubeApi(lambda *_: None) as api:
        async with serving(port, old, answer):
            await api.get_job("team", "job")
        async with serving(port, new, answer):
            with pytest.raises(UnavailableError, match="certificate verify failed"):
                await api.get_job("team", "job")
            authority.write_bytes(b"half a certi")
            with pytest.raises(UnavailableError, match="certificate verify failed"):
                await api.get_job("team", "job")
            shutil.copy(new.ca, authority)
            await api.get_job("team", "job")
            valid = "second"
            with pytest.raises(ApiError, match="401"):
                await api.get_job("team", "job")
            token.write_text("second")
            await api.get_job("team", "job")


@pytest.mark.parametrize("status", [401, 429, 503])
async def test_an_answer_that_does_not_know_us_or_asks_to_come_again_is_silence(
    tmp_path: Path, kubeconfig: tuple[int, Path, Path], status: int
) -> None:
    port, authority, _ = kubeconfig
    answers = 200

    async def answer(request: web.Request) -> web.Response:
        asks = {"Retry-After": "7"}
        return web.json_response({"message": "not now"}, status=answers, headers=asks)

    pki = Pki(tmp_path / "pki")
    pki.create_ca()
    shutil.copy(pki.ca, authority)
    async with KubeApi(lambda *_: None) as api, serving(port, pki, answer):
        api._answered -= 100
        answers = status
        with pytest.raises(ApiError) as told:
            await api.get_job("team", "job")
        if isinstance(told.value, UnavailableError):
            assert told.value.pause == 7, "it is left alone for as long as it asks for"
        silent, why = api.silence
        assert silent > 100
        assert str(status) in why
        answers = 403
        with pytest.raises(ApiError):
            await api.get_job("team", "job")
        assert api.silence[0] < 100, "one who says no is there"
