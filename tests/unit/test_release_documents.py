"""What is told of a release: materials, provenance, sums, changes."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import yaml
from spdx_tools.spdx.parser.parse_anything import parse_file
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

from release import changelog, provenance, sbom
from release.build import SUMS, differences, told_by_the_chart, write_sums
from release.changelog import Change, annotation, changes, releases
from release.errors import ReleaseError
from release.installed import Contents
from release.layout import PlatformImage
from release.packages import wheel
from release.source import ROOT, Source, declared_version
from tests.unit.test_release_archives import METADATA, OS, SITE, STATUS

SOURCE = Source("1.2.3", "c" * 40, 1_700_000_000, ("v1.2.3",))
DIGEST = f"sha256:{'a' * 64}"


def valid(document: dict[str, object], tmp_path: Path) -> dict[str, object]:
    """The document, of which SPDX's own validator has nothing to say."""
    file = tmp_path / "told.spdx.json"
    file.write_text(json.dumps(document))
    problems = validate_full_spdx_document(parse_file(str(file)))
    assert [problem.validation_message for problem in problems] == []
    return document


def test_an_images_materials_are_valid_spdx_and_name_each_package_once(tmp_path: Path) -> None:
    contents = Contents(
        {
            "var/lib/dpkg/status": STATUS + STATUS.replace(b"amd64", b"arm64"),
            "usr/lib/os-release": OS,
            f"{SITE}/some_thing-1.0.dist-info/METADATA": METADATA,
        }
    )
    image = PlatformImage("linux/amd64", DIGEST, DIGEST, 1, 2, contents)
    told = valid(sbom.of_image("operator", image, SOURCE), tmp_path)
    packages = told["packages"]
    assert isinstance(packages, list)
    assert [(each["name"], each.get("versionInfo")) for each in packages] == [
        ("sihl/operator", "1.2.3"), ("bash", "5.2.37-2+b5"), ("bash", "5.2.37-2+b5"),
        ("Some_Thing", "1.0"),
    ]  # fmt: skip
    assert told == sbom.of_image("operator", image, SOURCE)


@pytest.mark.slow
def test_the_wheels_materials_are_valid_spdx_and_the_wheel_is_built_the_same_twice(
    tmp_path: Path,
) -> None:
    built = []
    for turn in ("one", "two"):
        (tmp_path / turn).mkdir()
        built.append(wheel(ROOT, SOURCE, tmp_path / turn))
    assert built[0].read_bytes() == built[1].read_bytes()
    told = valid(sbom.of_wheel(built[0], "a" * 64, SOURCE), tmp_path)
    packages = told["packages"]
    assert isinstance(packages, list)
    assert packages[0]["name"] == "sihl"
    assert {"pydantic", "kopf", "torch", "aiohttp"} <= {each["name"] for each in packages}


def test_provenance_names_commit_base_locks_and_every_file() -> None:
    told = provenance.statement(
        SOURCE, {"b": "2" * 64, "a": "1" * 64}, {"linux/amd64": DIGEST}, {"uv.lock": "3" * 64},
        repository="https://example.org/sihl", builder="https://example.org/ci",
    )  # fmt: skip
    assert told["_type"] == "https://in-toto.io/Statement/v1"
    assert told["predicateType"] == "https://slsa.dev/provenance/v1"
    assert [each["name"] for each in told["subject"]] == ["a", "b"]
    definition = told["predicate"]["buildDefinition"]
    assert definition["externalParameters"]["ref"] == "v1.2.3"
    digests = [each["digest"] for each in definition["resolvedDependencies"]]
    assert digests == [{"gitCommit": "c" * 40}, {"sha256": "a" * 64}, {"sha256": "3" * 64}]


def test_sums_are_what_sha256sum_checks_and_tell_two_releases_apart(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name / "images").mkdir(parents=True)
        (tmp_path / name / "images" / "a").write_text("same")
        (tmp_path / name / "b").write_text(name)
        write_sums(tmp_path / name)
        subprocess.run(["sha256sum", "--check", "--strict", SUMS], cwd=tmp_path / name, check=True)
    assert differences(tmp_path / "one", tmp_path / "two") == ["b"]
    assert differences(tmp_path / "one", tmp_path / "one") == []


def test_the_changelog_has_what_this_version_changes_and_the_chart_says_it() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    source = Source(declared_version(), "c" * 40, 1)
    told = yaml.safe_load(told_by_the_chart(ROOT, source)["artifacthub.io/changes"])
    assert told == [
        {"kind": change.kind, "description": change.text}
        for change in changes(text, declared_version())
    ]
    assert all(each["description"] for each in told)


def test_an_entrys_first_sentence_is_what_changed() -> None:
    text = (
        "# Changelog\n\n## 2.0.0 (2026-01-01)\n\nWords.\n\n### Added\n\n- **A thing**, see\n"
        "  [docs](x.md). More of it.\n- `Another`.\n\n### What to do\n\n- Wait.\n\n"
        "### Fixed\n\n- A third\n\n## 1.0.0\n\n### Added\n\n- Old.\n"
    )
    assert changes(text, "2.0.0") == [
        Change("added", "A thing, see docs"),
        Change("added", "Another"),
        Change("fixed", "A third"),
    ]
    assert yaml.safe_load(annotation(changes(text, "1.0.0"))) == [
        {"kind": "added", "description": "Old"}
    ]
    with pytest.raises(ReleaseError, match="no section '## 3"):
        changes(text, "3.0.0")


def test_every_release_has_a_commit_and_a_section_and_is_older_than_this_one(
    tmp_path: Path,
) -> None:
    found = releases(ROOT / "releases.yaml")
    text = (ROOT / "CHANGELOG.md").read_text()
    for version in found:
        assert changelog.changes(text, version)
        assert tuple(map(int, version.split("."))) < tuple(map(int, declared_version().split(".")))
    (tmp_path / "releases.yaml").write_text("1.0: abc\n")
    with pytest.raises(ReleaseError, match="all 40 digits"):
        releases(tmp_path / "releases.yaml")
