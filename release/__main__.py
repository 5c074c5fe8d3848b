"""`python -m release <verb>`."""

from __future__ import annotations

import argparse
import sys

from release.errors import ReleaseError
from release.source import ROOT, declared_version, stamp


def parser() -> argparse.ArgumentParser:
    """The command line."""
    root = argparse.ArgumentParser(prog="python -m release", description=__doc__)
    verbs = root.add_subparsers(dest="verb", required=True)
    verbs.add_parser("stamp", help="write pyproject.toml's version into the chart")
    return root


def answer(arguments: argparse.Namespace) -> None:
    """Do what was asked."""
    match arguments.verb:
        case "stamp":
            version = declared_version()
            for path in stamp(ROOT, version, version):
                print(f"{path.relative_to(ROOT)}: {version}")


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
