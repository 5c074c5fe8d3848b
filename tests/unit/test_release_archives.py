"""Archives and images that are the same whenever they are made."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from release.archives import MADE, rewrite
from release.errors import ReleaseError
from release.installed import Contents
from release.layout import blob, normalised, read_index

EPOCH = 1_000_000
LABELS = {"org.opencontainers.image.version": "1.2.3"}
Files = dict[str, bytes]


def tar_of(files: Files, mtime: int, *, packed: bool = False, user: str = "") -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz" if packed else "w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mtime, member.uname = len(content), mtime, user
            member.pax_headers = {"atime": str(mtime), "SCHILY.xattr.user.a": "kept"}
            archive.addfile(member, io.BytesIO(content))
    return data.getvalue()


def again(tmp_path: Path, data: bytes, *, ordered: bool = False) -> bytes:
    source, target = tmp_path / "source.tar", tmp_path / "target.tgz"
    source.write_bytes(data)
    tar, file = rewrite(source, target, EPOCH, lambda _: False, lambda *_: None, ordered=ordered)
    written = target.read_bytes()
    assert file.name == f"sha256:{hashlib.sha256(written).hexdigest()}"
    assert tar.name == f"sha256:{hashlib.sha256(gzip.decompress(written)).hexdigest()}"
    assert (file.size, tar.size) == (len(written), len(gzip.decompress(written)))
    return written


def test_an_archive_is_the_same_whoever_packs_it_and_when(tmp_path: Path) -> None:
    files = {"a": b"1", "b/c": b"2" * 5000}
    first = again(tmp_path, tar_of(files, EPOCH + 5))
    assert again(tmp_path, tar_of(files, EPOCH + 900, packed=True, user="me")) == first
    with tarfile.open(fileobj=io.BytesIO(first)) as archive:
        members = {member.name: member for member in archive}
        assert {m.mtime for m in members.values()} == {MADE}
        assert members["a"].pax_headers["SCHILY.xattr.user.a"] == "kept"
        data = archive.extractfile("b/c")
        assert data and data.read() == files["b/c"]


def test_an_older_files_time_stays_since_bytecode_may_name_it(tmp_path: Path) -> None:
    written = again(tmp_path, tar_of({"a": b"1"}, EPOCH - 7))
    with tarfile.open(fileobj=io.BytesIO(written)) as archive:
        assert archive.getmember("a").mtime == EPOCH - 7


def test_where_it_is_asked_for_the_order_of_members_does_not_matter(tmp_path: Path) -> None:
    files = {"a": b"1", "b": b"2", "c": b"3"}
    turned = dict(reversed(files.items()))
    first = again(tmp_path, tar_of(files, 1), ordered=True)
    assert again(tmp_path, tar_of(turned, 1), ordered=True) == first
    assert again(tmp_path, tar_of(turned, 1)) != first


def a_layout(folder: Path, layers: list[bytes], created: str) -> Path:
    """As a builder writes it."""
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def stored(data: bytes) -> dict[str, Any]:
        value = hashlib.sha256(data).hexdigest()
        (blobs / value).write_bytes(data)
        return {"digest": f"sha256:{value}", "size": len(data)}

    config = {
        "created": created, "architecture": "amd64", "os": "linux",
        "config": {"Entrypoint": ["x"], "Labels": {"a": "b"}},
        "history": [{"created": created, "created_by": "RUN x"} for _ in layers],
    }  # fmt: skip
    manifest = {
        "config": stored(json.dumps(config).encode()),
        "layers": [stored(data) for data in layers],
        "annotations": {"org.opencontainers.image.base.digest": created},
    }
    index = {"manifests": [stored(json.dumps(manifest).encode())]}
    (folder / "index.json").write_text(json.dumps(index))
    return folder


def test_an_image_is_the_same_whenever_it_is_built_and_says_what_it_is(tmp_path: Path) -> None:
    files = {"etc/a": b"1"}
    digests = []
    for turn, when in enumerate((EPOCH + 1, EPOCH + 2)):
        layer = tar_of(files, when)
        source = a_layout(tmp_path / f"raw{turn}", [layer, layer], f"at {when}")
        digests.append(normalised([source], tmp_path / f"image{turn}", EPOCH, LABELS).digest)
    assert digests[0] == digests[1]
    folder = tmp_path / "image0"
    digest, index = read_index(folder)
    assert digest == digests[0]
    manifest = json.loads(blob(folder, index["manifests"][0]["digest"]).read_bytes())
    config = json.loads(blob(folder, manifest["config"]["digest"]).read_bytes())
    assert config["config"] == {"Entrypoint": ["x"], "Labels": {"a": "b", **LABELS}}
    assert config["created"] == "1970-01-12T13:46:40Z"
    layers = [blob(folder, layer["digest"]).read_bytes() for layer in manifest["layers"]]
    found = [f"sha256:{hashlib.sha256(gzip.decompress(data)).hexdigest()}" for data in layers]
    assert config["rootfs"]["diff_ids"] == found


def test_a_folder_that_is_no_image_is_told(tmp_path: Path) -> None:
    (tmp_path / "index.json").write_text('{"manifests": []}')
    with pytest.raises(ReleaseError, match="build it again"):
        read_index(tmp_path)


STATUS = b"""\
Package: bash
Status: install ok installed
Architecture: amd64
Version: 5.2.37-2+b5
Description: a shell
 Package: not this

Package: gone
Status: deinstall ok config-files
Architecture: all
Version: 1
"""
OS = b'PRETTY_NAME="Debian"\nVERSION_CODENAME=trixie\n'
METADATA = (
    b"Metadata-Version: 2.4\nName: Some_Thing\nVersion: 1.0\nLicense-Expression: MIT\n\nName: x"
)
SITE = "opt/sihl/venv/lib/python3.13/site-packages"


def test_what_is_installed_is_read_from_the_layers_as_they_lie_over_each_other() -> None:
    contents = Contents()
    layers = [
        ("var/lib/dpkg/status", b"Package: old\nStatus: install ok installed\n"),
        (f"{SITE}/gone-1.dist-info/METADATA", METADATA.replace(b"Some_Thing", b"gone")),
        ("usr/lib/os-release", OS),
        ("usr/lib/python3/dist-packages/torch-1.dist-info/METADATA", METADATA),
        ("etc/passwd", b""),
        ("var/lib/dpkg/status", STATUS),
        (f"{SITE}/.wh.gone-1.dist-info", b""),
        (f"{SITE}/some_thing-1.0.dist-info/METADATA", METADATA),
        ("opt/sihl/assets/uplot/package.json", b'{"name": "uplot", "version": "1.6.32"}'),
    ]
    for path, data in layers:
        if contents.wants(path):
            contents.saw(path, data)
    assert [(each.purl, each.licence) for each in contents.packages()] == [
        ("pkg:deb/debian/bash@5.2.37-2%2Bb5?arch=amd64&distro=trixie", ""),
        ("pkg:npm/uplot@1.6.32", ""),
        ("pkg:pypi/some-thing@1.0", "MIT"),
    ]


def test_a_folder_made_anew_hides_what_was_in_it() -> None:
    contents = Contents()
    contents.saw("opt/sihl/assets/uplot/package.json", b"{}")
    contents.saw("opt/sihl/assets/.wh..wh..opq", b"")
    assert contents.files == {}


@given(st.dictionaries(st.text("abc", min_size=1), st.binary(max_size=50), max_size=5))
def test_whatever_it_holds_an_archives_second_rewriting_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, files: Files
) -> None:
    folder = tmp_path_factory.mktemp("archives")
    first = again(folder, tar_of(files, EPOCH + 1))
    assert again(folder, first) == first
