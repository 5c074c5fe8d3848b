"""What is installed from where no network is: with a real registry, crane and helm."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from local_cluster.control_plane import free_port
from local_cluster.process import Daemon, wait_until
from local_cluster.programs import program
from release import bundle, publish
from release.build import PROVENANCE, pins, write_sums
from release.errors import ReleaseError
from release.layout import INDEX, normalised
from release.packages import chart
from release.source import declared_version
from tests.support.chart import CHART
from tests.unit.test_release_archives import EPOCH, LABELS, a_layout, tar_of

pytestmark = pytest.mark.slow  # crane and helm are built from their sources first
VERSION = declared_version()
NAMES = ("operator", "dashboard", "trainer")


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real chart, and images of one file each."""
    folder = tmp_path_factory.mktemp("dist") / VERSION
    (folder / "images").mkdir(parents=True)
    images = {}
    for name in NAMES:
        raw = a_layout(folder.parent / name, [tar_of({name: b"1"}, EPOCH)], "now")
        images[name] = normalised([raw], folder / "images" / name, EPOCH, LABELS)
    chart(bundle.tools()["helm"], CHART, folder, EPOCH)
    (folder / "images.yaml").write_text(pins(images))
    (folder / PROVENANCE).write_text('{"predicate": {}}')
    write_sums(folder)
    return folder


@pytest.fixture(scope="module")
def bundled(release: Path) -> Path:
    return bundle.make(release, release.parent / "bundle")


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    """A registry that nothing is in."""
    port = free_port()
    config = tmp_path / "registry.yaml"
    config.write_text(
        f"version: 0.1\nlog: {{level: warn}}\nhttp: {{addr: '127.0.0.1:{port}'}}\n"
        f"storage: {{filesystem: {{rootdirectory: {tmp_path / 'stored'}}}}}\n"
    )
    daemon = Daemon("registry", tmp_path)
    daemon.start(["docker-registry", "serve", config])

    def answers() -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/", timeout=2):
                return daemon.require_alive()
        except OSError:
            return False

    wait_until(answers, "a registry", 60, daemon.log)
    yield f"localhost:{port}/mirror"
    daemon.stop()


def served(registry: str, name: str, reference: str) -> str:
    """The digest of what a registry has."""
    host, _, path = registry.partition("/")
    url = f"http://{host}/v2/{path}/sihl/{name}/manifests/{reference}"
    request = urllib.request.Request(url, headers={"Accept": INDEX})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return f"sha256:{hashlib.sha256(answer.read()).hexdigest()}"


def install(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run its script with what the folder has, and no program of this machine but the shell's."""
    clean = ["env", "-i", "PATH=/usr/bin:/bin", f"HOME={folder.parent}"]
    command = [*clean, f"{folder.name}/install.sh", *words]
    return subprocess.run(command, cwd=folder.parent, capture_output=True, text=True)


def test_its_images_reach_a_registry_under_the_digests_that_its_chart_then_asks_for(
    bundled: Path, registry: str
) -> None:
    done = install(bundled, "--push-only", registry)
    assert done.returncode == 0, done.stderr
    pinned = yaml.safe_load((bundled / "images.yaml").read_text())
    for name in NAMES:
        digest = pinned[name]["image"]["digest"]
        assert served(registry, name, VERSION) == served(registry, name, digest) == digest
    rendered = subprocess.run(
        [bundled / "bin" / "helm", "template", bundled / f"sihl-{VERSION}.tgz", "-f",
         bundled / "images.yaml", "--set", f"global.imageRegistry={registry}"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    asked = {
        container["image"]
        for document in yaml.safe_load_all(rendered)
        if document and "template" in document.get("spec", {})
        for container in document["spec"]["template"]["spec"]["containers"]
    }
    of = {name: f"{registry}/sihl/{name}@{pinned[name]['image']['digest']}" for name in NAMES}
    assert asked == {of["operator"], of["dashboard"]}
    assert of["trainer"] in rendered


def test_a_bundle_with_a_bit_turned_over_is_refused(bundled: Path, tmp_path: Path) -> None:
    copy = tmp_path / "bundle"
    subprocess.run(["cp", "-r", bundled, copy], check=True)
    (copy / "images.yaml").write_text("{}\n")
    done = install(copy, "localhost:1/mirror")
    assert done.returncode == 1
    assert "copy it again" in done.stderr


@pytest.mark.parametrize("words", [(), ("--wait",), ("https://registry.example.org",)])
def test_a_registry_that_is_none_is_refused_before_anything_is_done(
    bundled: Path, words: tuple[str, ...]
) -> None:
    done = install(bundled, *words)
    assert (done.returncode, done.stdout) == (2, "")


def test_a_release_is_pushed_with_its_chart_which_has_one_digest_whenever_that_is_done(
    release: Path, registry: str
) -> None:
    crane = bundle.tools()["crane"]
    pushed = []
    for moment in (1, 2):
        os.utime(release / f"sihl-{VERSION}.tgz", (moment, moment))
        publish.push(release, registry, EPOCH)
        pushed.append(publish.pushed_chart(release, registry, crane))
    assert pushed[0] == pushed[1]
    assert re.fullmatch(rf"{registry}/sihl/charts/sihl@sha256:[0-9a-f]{{64}}", pushed[0])
    assert served(registry, "operator", VERSION).startswith("sha256:")


def test_a_chart_that_is_not_the_releases_is_not_signed(
    release: Path, registry: str, tmp_path: Path
) -> None:
    crane = bundle.tools()["crane"]
    with pytest.raises(ReleaseError, match="make push"):
        publish.pushed_chart(release, registry, crane)
    publish.push(release, registry, EPOCH)
    other = tmp_path / VERSION
    other.mkdir()
    copy = shutil.copytree(CHART, tmp_path / "helm")
    (copy / "README.md").write_text("Another")
    chart(bundle.tools()["helm"], copy, other, EPOCH)
    with pytest.raises(ReleaseError, match="not this release's chart"):
        publish.pushed_chart(other, registry, crane)


def test_the_chart_is_packed_the_same_wherever_it_lies_and_whenever(tmp_path: Path) -> None:
    packed = []
    for turn in ("here", "else/where"):
        copy, folder = tmp_path / turn / "helm", tmp_path / turn / "packed"
        folder.mkdir(parents=True)
        subprocess.run(["cp", "-r", CHART, copy], check=True)
        packed.append(chart(bundle.tools()["helm"], copy, folder, EPOCH).read_bytes())
    assert packed[0] == packed[1]


def test_without_a_registry_or_a_key_nothing_is_pushed_or_signed(
    release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for registry in ("", "https://registry.example.org"):
        with pytest.raises(ReleaseError, match="REGISTRY=HOST"):
            publish.push(release, registry, EPOCH)
    with pytest.raises(ReleaseError, match="no release"):
        publish.push(tmp_path, "localhost:1", EPOCH)
    monkeypatch.delenv("COSIGN_KEY", raising=False)
    with pytest.raises(ReleaseError, match="COSIGN_KEY"):
        publish.sign(release, tmp_path, "localhost:1")
    monkeypatch.setenv("COSIGN_KEY", "cosign.key")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ReleaseError, match="cosign 3 on the PATH"):
        publish.sign(release, tmp_path, "localhost:1")


def test_what_is_signed_is_each_artefact_by_its_digest_and_the_sums() -> None:
    references = ["r.example.org/sihl/operator@sha256:1", "r.example.org/sihl/charts/sihl@sha256:2"]
    sums = [Path("dist/1.2.3/SHA256SUMS")]
    given = publish.Keys("cosign", "k")
    commands = publish.sign_commands(references, sums, Path("predicate.json"), given)
    for reference in references:
        assert [each[1] for each in commands if each[-1] == reference] == ["sign", "attest"]
    assert commands[-1][1:] == [
        "sign-blob", "--key", "k", "--yes", "--bundle", "dist/1.2.3/SHA256SUMS.sigstore.json",
        "dist/1.2.3/SHA256SUMS",
    ]  # fmt: skip
    private = replace(given, services="none.json")
    for command in publish.sign_commands(references, sums, Path("predicate.json"), private):
        assert command[command.index("--signing-config") + 1] == "none.json"


def test_a_bundle_is_made_of_a_release_only(tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match="make release"):
        bundle.make(tmp_path, tmp_path / "bundle")
    assert program("crane", [bundle.CRANE]).name == "crane"
    assert os.access(bundle.INSTALLER, os.X_OK)
