"""`python -m release <verb>`."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from local_cluster.report import say, step
from release import bundle, publish
from release.build import differences, make
from release.errors import ReleaseError
from release.images import RECIPES, Builder
from release.source import ROOT, declared_version, read_source, require_releasable, stamp

DIST = ROOT / "dist"


def parser() -> argparse.ArgumentParser:
    """The command line."""
    root = argparse.ArgumentParser(prog="python -m release", description=__doc__)
    verbs = root.add_subparsers(dest="verb", required=True)
    verbs.add_parser("stamp", help="write pyproject.toml's version into the chart")
    verbs.add_parser("version", help="print what the checkout would be released as")
    building = verbs.add_parser("build", help="build a release into dist/VERSION")
    twice = verbs.add_parser("check", help="build it twice, and tell what differs")
    verbs.add_parser("bundle", help="what a cluster without a network needs, of dist/VERSION")
    for name in ("push", "sign"):
        publishing = verbs.add_parser(name, help=f"{name} what dist/VERSION has")
        publishing.add_argument("--registry", default="", help="HOST or HOST/PATH")
    for verb in (building, twice):
        verb.add_argument("--images", type=_names, default=tuple(RECIPES), metavar="A,B")
        verb.add_argument("--platforms", type=_words, default=("linux/amd64",), metavar="A,B")
        verb.add_argument("--repository", default="", help="the URL that the commit comes from")
        verb.add_argument("--builder", default="", help="a URI of who builds")
    return root


def _words(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word for word in text.split(",") if word))


def _names(text: str) -> tuple[str, ...]:
    names = _words(text)
    unknown = [name for name in names if name not in RECIPES]
    if unknown:
        raise argparse.ArgumentTypeError(f"no image {unknown[0]!r}: there are {', '.join(RECIPES)}")
    return names


def answer(arguments: argparse.Namespace) -> None:
    """Do what was asked."""
    match arguments.verb:
        case "stamp":
            version = declared_version()
            for path in stamp(ROOT, version, version):
                print(f"{path.relative_to(ROOT)}: {version}")
        case "version":
            print(read_source().version)
        case "build":
            print(_build(arguments, DIST))
        case "check":
            _check(arguments)
        case "bundle":
            print(bundle.make(_built(), _bundled()))
        case "push":
            publish.push(_built(), arguments.registry, read_source().epoch)
        case "sign":
            publish.sign(_built(), _bundled(), arguments.registry)


def _built() -> Path:
    """The release of the commit that is checked out."""
    source = read_source()
    require_releasable(source)
    return DIST / source.version


def _bundled() -> Path:
    return DIST / f"sihl-{_built().name}-bundle"


def _build(arguments: argparse.Namespace, dist: Path) -> Path:
    source = read_source()
    require_releasable(source)
    dist.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=dist, prefix=".buildah-") as scratch:
        builder = Builder(Path(scratch), source.epoch, arguments.platforms)
        return make(
            source, dist / source.version, builder, arguments.images,
            repository=arguments.repository or "file:///unnamed",
            by=arguments.builder or "file:///unnamed",
        )  # fmt: skip


def _check(arguments: argparse.Namespace) -> None:
    DIST.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=DIST, prefix=".check-") as folder:
        built = []
        for turn in ("first", "second"):
            with step(f"the {turn} build"):
                (Path(folder) / turn).mkdir()
                built.append(_build(arguments, Path(folder) / turn))
        if different := differences(*built):
            raise ReleaseError("two builds differ in:\n" + "\n".join(different))
        say(f"two builds are the same, byte for byte: {built[0].name}")


def main() -> int:
    """0, or 2 with one line that says what is missing or failed."""
    try:
        answer(parser().parse_args())
    except ReleaseError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
