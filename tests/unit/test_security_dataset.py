"""Datasets that mean harm: keys that lead elsewhere, and documents that blow up."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote, urlsplit
from xml.sax.saxutils import escape

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sihl_api.runtime import Env
from sihl_trainer.errors import BadData, TrainerError
from sihl_trainer.fetch.main import fetch_split
from tests.support.datasets import CLASSES, classification, job, jpeg
from tests.support.listening import listening

pytestmark = pytest.mark.slow  # a minute together
ROOT = Path(__file__).parents[2]
KEYS = {Env.dataset("accessKeyId"): "a", Env.dataset("secretAccessKey"): "b"}


class HostileStore(ThreadingHTTPServer):
    """An S3 server that lists whatever key it is told to, as no real one does.

    Args:
        objects: What a key's object holds.
    """

    def __init__(self, objects: dict[str, bytes]) -> None:
        self.objects = objects
        super().__init__(("127.0.0.1", 0), _Answer)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def listing(self, prefix: str) -> str:
        """What lies directly in the dataset's folder; of a folder, all that is below it."""
        items = [
            f"<Contents><Key>{escape(quote(key))}</Key><Size>{len(body)}</Size>"
            f"<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
            for key, body in self.objects.items()
            if key.startswith(prefix) and (prefix or "/" not in key)
        ]
        return (
            "<ListBucketResult><EncodingType>url</EncodingType><IsTruncated>false</IsTruncated>"
            f"{''.join(items)}</ListBucketResult>"
        )


class _Answer(BaseHTTPRequestHandler):
    server: HostileStore
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = parse_qs(url.query, keep_blank_values=True)
        if "list-type" in query:
            self._answer(200, self.server.listing(query["prefix"][0]).encode(), {})
            return
        body = self.server.objects.get(unquote(url.path).removeprefix("/data/"), b"")
        whole = {
            "Content-Range": f"bytes 0-{len(body) - 1}/{len(body)}",
            "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT",
            "ETag": '"1"',
        }
        self._answer(206, body, whole)

    def _answer(self, code: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(code)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextmanager
def listed(objects: dict[str, bytes]) -> Iterator[HostileStore]:
    store = HostileStore(objects)
    with listening(store):
        yield store


TOLD = "train.fetched.json"
"""The fetch's own word of what it brought, for the record."""


def written(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def fetched(folder: Path, objects: dict[str, bytes]) -> TrainerError | None:
    """How the fetch of a dataset ended; what lies around its folder is as it was."""
    root = folder / "dataset"
    root.mkdir()
    (folder / "beside.jpg").write_bytes(b"mine")
    ended: TrainerError | None = None
    with listed(objects) as store:
        try:
            fetch_split(job(endpoint=store.endpoint), "train", root, KEYS, patience=1)
        except TrainerError as error:
            ended = error
    outside = {name for name in written(folder) if not name.startswith("dataset/train/")}
    assert outside == {"beside.jpg"} | ({f"dataset/{TOLD}"} if ended is None else set())
    assert (folder / "beside.jpg").read_bytes() == b"mine"
    assert not [path for path in folder.rglob("*") if path.is_symlink()]
    return ended


def test_the_store_of_these_tests_serves_a_good_dataset(tmp_path: Path) -> None:
    files = classification(3)
    assert fetched(tmp_path, files) is None
    assert written(tmp_path / "dataset") == {TOLD, *(f"train/{name}" for name in files)}


@pytest.mark.parametrize(
    "name",
    [
        "../beside.jpg", "../../beside.jpg", "/etc/beside.jpg", "./a.jpg", "a/../../../b.jpg",
        "a\nb.jpg", "a\0.jpg", "a\x1b[2J.jpg", "a\u2028b.jpg", "x" * 1010 + ".jpg",
        "é" * 480 + ".jpg",
    ],
    ids=ascii,
)  # fmt: skip
def test_a_key_that_can_be_no_file_is_named_and_nothing_is_written(
    tmp_path: Path, name: str
) -> None:
    files = {**classification(3), f"images/{name}": jpeg()}
    error = fetched(tmp_path, files)
    assert isinstance(error, BadData)
    assert error.reason == "DatasetKeyInvalid"
    assert repr(f"images/{name}") in str(error)
    assert str(error).isprintable()
    assert written(tmp_path / "dataset") == {"train/metadata.yaml"}


@pytest.mark.parametrize("name", ["a\\..\\..\\b.jpg", "C:\\a.jpg", "~.jpg", "-rf.jpg", "$(id).jpg"])
def test_what_is_special_elsewhere_is_a_name_here(tmp_path: Path, name: str) -> None:
    files = {**classification(3), f"images/{name}": jpeg()}
    assert fetched(tmp_path, files) is None
    assert (tmp_path / "dataset" / "train" / "images" / name).read_bytes() == jpeg()


KEY = st.lists(
    st.sampled_from(["..", ".", "/", "//", "\\", "\n", "\0", "a", "é", "images", "%2e%2e%2f", "~"]),
    max_size=8,
).map("".join)


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=50)
@given(names=st.lists(KEY, max_size=3))
@example(names=["../../beside"])
def test_whatever_a_store_lists_nothing_is_written_outside_of_the_dataset(
    tmp_path_factory: pytest.TempPathFactory, names: list[str]
) -> None:
    hostile = {f"images/{name}.jpg": jpeg() for name in names}
    fetched(tmp_path_factory.mktemp("any"), {**classification(2), **hostile})


@pytest.mark.parametrize(
    "source",
    ["../x.yaml", "/etc/passwd", "a/../../x", "a//x", "images/x", "x" * 1024, "metadata.yaml",
     "a\\nb", "..", "./../x", "././x", "a\\0b"],
)  # fmt: skip
def test_annotations_that_lie_elsewhere_are_refused_and_not_asked_for(
    tmp_path: Path, source: str
) -> None:
    metadata = CLASSES.replace("annotations: annotations.yaml", f'annotations: "{source}"')
    error = fetched(tmp_path, {**classification(2), "metadata.yaml": metadata.encode()})
    assert isinstance(error, BadData)
    assert error.reason == "DatasetMetadataInvalid"
    assert "metadata.yaml" in str(error)
    assert str(error).isprintable()
    assert written(tmp_path / "dataset") == {"train/metadata.yaml"}


def test_a_store_that_sends_more_than_it_listed_is_not_believed(tmp_path: Path) -> None:
    files = classification(2)
    with listed(files) as store:
        listing = store.listing
        size = len(files["images/0.jpg"])
        lies = f"<Size>{size}</Size>", "<Size>10</Size>"
        store.listing = lambda prefix: listing(prefix).replace(*lies)  # type: ignore[method-assign]
        with pytest.raises(TrainerError):
            fetch_split(job(endpoint=store.endpoint), "train", tmp_path, KEYS, patience=1)
    assert "train/images/0.jpg" not in written(tmp_path)


# --- documents -------------------------------------------------------------------------------

READ = """
import resource, sys
from pathlib import Path
from sihl_trainer.data.documents import read_entries
from sihl_trainer.errors import BadData
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 2**28, used + 2**28))
resource.setrlimit(resource.RLIMIT_CPU, (20, 20))
try:
    for _ in read_entries(Path(sys.argv[1])):
        pass
except BadData as error:
    print(error.reason, error)
"""


def told(path: Path) -> str:
    """What the reader says of a file; it has 256 MiB and 20 s for it, or dies."""
    done = subprocess.run(
        [sys.executable, "-c", READ, str(path)],
        env={"PYTHONPATH": f"{ROOT}/crds:{ROOT}/trainer_image"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def laughs(levels: int) -> str:
    lines = ["a0: &a0 [lol, lol]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, levels)]
    return "\n".join(lines)


DEEP = 10**6
BOMBS = {
    "a billion laughs": laughs(10),
    "laughs by merging": "a: &a {x: 1}\nb: &b {<<: *a}\nc: {<<: [*a, *b]}\n",
    "an alias as a key": "&a a: 1\n*a : 2\n",
    "an alias of itself": "a: &a [*a]\n",
    "deep lists": "a: " + "[" * DEEP,
    "deep mappings": "a: " + "{b: " * DEEP,
    "deep lists in blocks": "a:\n" + "- " * DEEP,
    "deep complex keys": "? " * DEEP,
    "deep mappings in blocks": "\n".join(f"{' ' * level}a:" for level in range(2000)),
    "a million documents": "a: 1\n--- {}\n" * 10**5,
    "a tag that makes an object": "a: !!python/object/new:os.system [id]\n",
    "tags of one's own": "%TAG ! tag:" + "x" * 10**6 + ":\n---\na: !b c\n",
    "a million anchors": "".join(f"&a{n} k{n}: 1\n" for n in range(10**5)) + "b: *a1\n",
}


@pytest.mark.parametrize("name", ["metadata.yaml", "annotations.yaml"])
@pytest.mark.parametrize("bomb", BOMBS)
def test_a_yaml_bomb_is_refused_in_little_time_and_memory(
    tmp_path: Path, bomb: str, name: str
) -> None:
    (tmp_path / name).write_text(BOMBS[bomb])
    text = told(tmp_path / name)
    assert text.startswith(f"DatasetMalformed {name}")
    assert len(text) < 1000


@pytest.mark.parametrize("depth", [400, 600, 900, 5000, DEEP])
@pytest.mark.parametrize("bracket", ["[", '{"b": '])
def test_json_as_deep_as_one_likes_is_told_or_read_and_no_crash(
    tmp_path: Path, bracket: str, depth: int
) -> None:
    opened, closed = bracket * depth, {"[": "]"}.get(bracket, "}") * depth
    (tmp_path / "annotations.json").write_text(f'{{"a": {opened}"x"{closed}}}')
    text = told(tmp_path / "annotations.json")
    assert text == "" or text.startswith("DatasetMalformed annotations.json")
    assert len(text) < 1000


@pytest.mark.parametrize("name", ["annotations.yaml", "annotations.json"])
def test_an_entry_cannot_forge_lines_of_the_log(tmp_path: Path, name: str) -> None:
    files = classification(2)
    files["metadata.yaml"] = CLASSES.replace("annotations.yaml", name).encode()
    files[name] = b'{"a.jpg\\nERROR all is lost\\u001b[2J": "unicorn"}'
    error = fetched(tmp_path, files)
    assert isinstance(error, BadData)
    assert error.reason == "DatasetAnnotationInvalid"
    assert str(error).isprintable()
