"""`ui` over a folder, and how a store within a cluster is reached from outside."""

from __future__ import annotations

import io
import socket
from pathlib import Path

import pytest

from sihl_dashboard.cli.errors import CommandError
from sihl_dashboard.cli.forwarding import Forward, Service, service_of
from sihl_dashboard.cli.main import run
from sihl_dashboard.cli.ui import has_browser
from tests.support.browsing import served
from tests.support.recorded import recorded


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A record."""
    recorded(tmp_path / "record").job()
    return tmp_path / "record"


def test_a_folder_is_served_to_the_one_browser_that_opens_what_was_printed(
    root: Path, tmp_path: Path
) -> None:
    with served("--record", str(root), environ={"XDG_CACHE_HOME": str(tmp_path)}) as browser:
        assert browser.get("/me", cookie=False)[0] == 401
        assert browser.opens() == 303
        assert browser.get("/me")[1]["mode"] == "local"
        (namespace,) = browser.get("/overview")[1]["namespaces"]
        assert (namespace["name"], namespace["projects"]) == ("team-a", ["cells"])
        assert browser.opens() == 401  # another one, later: it brings no cookie


def test_a_port_that_is_taken_and_a_folder_that_is_not_there_are_told_in_a_line(
    root: Path, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for words, told in (
            (["--record", str(root), "--port", str(port)], "choose another by --port"),
            (["--record", "/no/where"], "there is no such folder"),
        ):
            out, err = io.StringIO(), io.StringIO()
            code = run(["ui", "--no-browser", *words], io.StringIO(), out, err,
                       {"XDG_CACHE_HOME": str(tmp_path)})  # fmt: skip
            assert (code, out.getvalue(), len(err.getvalue().splitlines())) == (1, "", 1)
            assert told in err.getvalue()


@pytest.mark.parametrize(
    ("environ", "platform", "opens"),
    [
        ({}, "linux", False),
        ({"DISPLAY": ":0"}, "linux", True),
        ({"WAYLAND_DISPLAY": "wayland-0"}, "linux", True),
        ({}, "darwin", True),
    ],
)
def test_a_browser_is_opened_only_where_there_is_a_screen_for_it(
    environ: dict[str, str], platform: str, opens: bool
) -> None:
    assert has_browser(environ, platform) is opens


@pytest.mark.parametrize(
    ("endpoint", "service"),
    [
        ("http://sihl-store.sihl-system.svc:8333", ("sihl-store", "sihl-system", 8333)),
        ("https://store.a.svc.cluster.local/", ("store", "a", 443)),
        ("http://minio:9000", None),
        ("http://a.b.c.svc", None),
        ("https://s3.eu-west-1.amazonaws.com", None),
        ("http://a.b.svc:port", None),
    ],
)
def test_the_service_of_an_address_within_a_cluster_is_known(
    endpoint: str, service: tuple[str, str, int] | None
) -> None:
    found = service_of(endpoint)
    assert (found and (found.name, found.namespace, found.port)) == service


def test_without_kubectl_nothing_is_forwarded() -> None:
    with pytest.raises(CommandError, match="no kubectl on the PATH"):
        Forward(Service("a", "b", 80, "http"), [], {"PATH": "/nowhere"})
