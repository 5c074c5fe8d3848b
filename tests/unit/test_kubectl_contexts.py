"""Kubeconfigs of `kubectl sihl` that cannot be used: each is told in a line, with what to do."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from sihl_dashboard.cli.contexts import chosen_context
from tests.support.typed import Typing

SERVER = "https://127.0.0.1:1"
PLUGIN = {"apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "Never"}


def kubeconfig(user: Any = None, cluster: Any = None, **changes: Any) -> str:
    """One with one context, but for the changes."""
    return json.dumps(
        {
            "apiVersion": "v1", "kind": "Config", "current-context": "one",
            "contexts": [{"name": "one", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"server": SERVER, **(cluster or {})}}],
            "users": [{"name": "u", "user": {"token": "t"} if user is None else user}],
            **changes,
        }
    )  # fmt: skip


def plugin(*command: str, **changes: Any) -> dict[str, Any]:
    """A user that a program logs in."""
    return {"exec": {**PLUGIN, "command": command[0], "args": [*command[1:]], **changes}}


@pytest.mark.parametrize(
    ("text", "words", "told"),
    [
        ("{a: [", (), "cannot be used"),
        ("just words", (), "cannot be used"),
        ("[1, 2]", (), "cannot be used"),
        ("\x00", (), "cannot be used"),
        ("", (), "no current context"),
        (kubeconfig(contexts=[1]), (), "cannot be used"),
        (kubeconfig(contexts=None), (), "it has none"),
        (kubeconfig(clusters=[]), (), "names a cluster c, which"),
        (kubeconfig(users=[]), (), "names a user u, which"),
        (kubeconfig(cluster={"server": ""}), (), "has no server"),
        (kubeconfig(cluster={"certificate-authority": "/nowhere"}), (), "/nowhere"),
        (kubeconfig(cluster={"proxy-url": "socks5://127.0.0.1:1"}), (), "http and https alone"),
        (kubeconfig(**{"current-context": ""}), (), "choose one by --context (it has one)"),
        (kubeconfig(), ("--context", "two"), "there is no context two in the kubeconfig"),
        (kubeconfig({"token": "t", "as": "root"}), (), "acts as somebody else"),
        (kubeconfig({"token": "two\nwords"}), (), "holds no token"),
        (kubeconfig({"tokenFile": "nowhere"}), (), "the token cannot be read"),
        (kubeconfig(plugin("false")), (), "plugin false failed (exit code 1): log in again"),
        (kubeconfig(plugin("echo", "{}")), (), "what is no ExecCredential"),
        (kubeconfig(plugin("echo", '{"status": {}}')), (), "no token and no certificate"),
        (kubeconfig(plugin("no-such", installHint="get it")), (), "(No such file or directory): g"),
        (kubeconfig(plugin("true", interactiveMode="Always")), (), "wants a terminal"),
    ],
)
def test_a_kubeconfig_that_cannot_be_used_is_told_in_a_line(
    tmp_path: Path, text: str, words: tuple[str, ...], told: str
) -> None:
    file = tmp_path / "config"
    file.write_text(text)
    for typing in (Typing(file, ""), Typing(tmp_path / "nowhere", "", "--kubeconfig", str(file))):
        code, out, err = typing("list", *words)
        assert (code, out, len(err.splitlines())) == (1, "", 1)
        assert told in err


def test_a_kubeconfig_that_is_not_there_is_named_with_what_to_do(tmp_path: Path) -> None:
    code, _, err = Typing(tmp_path / "nowhere", "")("list")
    assert (code, len(err.splitlines())) == (1, 1)
    assert f"there is no kubeconfig {tmp_path / 'nowhere'}: give --kubeconfig" in err


def test_of_several_files_the_first_that_says_something_is_right(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_text(kubeconfig({"token": "first"}, users=[], **{"current-context": ""}))
    user = [{"name": "u", "user": {"token": "second"}}, {"name": "v", "user": {"token": "v"}}]
    second.write_text(kubeconfig(cluster={"server": "https://127.0.0.1:2"}, users=user))
    paths = (str(tmp_path / "nowhere"), "", str(first), str(second))
    found = chosen_context({"KUBECONFIG": os.pathsep.join(paths)}, None, None)
    assert found.configuration.host == SERVER
    assert found.configuration.get_api_key_with_prefix("BearerToken") == "Bearer second"


def test_a_token_is_read_anew_and_a_plugin_asked_again_before_its_token_ends(
    tmp_path: Path,
) -> None:
    file, token, times = tmp_path / "config", tmp_path / "token", tmp_path / "times"
    said = {"kind": "ExecCredential", "apiVersion": PLUGIN["apiVersion"],
            "status": {"token": "t", "expirationTimestamp": "2020-01-01T00:00:00Z"}}  # fmt: skip
    script = f"echo x >> {times}; echo '{json.dumps(said)}'"
    for user in ({"tokenFile": "token"}, plugin("sh", "-c", script)):
        token.write_text("one\n")
        file.write_text(kubeconfig(user))
        found = chosen_context({}, str(file), None).configuration
        token.write_text("two\n")
        times.unlink(missing_ok=True)
        if "exec" in user:
            assert found.get_api_key_with_prefix("BearerToken") == "Bearer t"
            assert times.read_text() == "x\n"
        else:
            assert found.get_api_key_with_prefix("BearerToken") == "Bearer two"
