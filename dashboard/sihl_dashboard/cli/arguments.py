"""What may be typed."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import NoReturn

from sihl_api.version import installed_version
from sihl_dashboard.cli.errors import UsageError

PROGRAM = "kubectl sihl"
DEFAULT_VERB = "list"
FORMATS = ("wide", "json", "yaml", "name")

VERBS = {
    "list": "training jobs, and what each does or waits for (the default)",
    "queue": "each queue in its order",
    "top": "queues and jobs on the whole terminal, as they go on",
    "submit": "submit a job, and perhaps stay until it ends",
    "check": "whether a job would be accepted, and find its data and what its heads learn from",
    "stop": "stop jobs, each with a checkpoint",
    "resume": "go on with stopped jobs",
    "logs": "a job's log, of its pod or of its record",
    "clone": "submit a job like another, with some fields changed",
    "metrics": "what a job measured",
    "compare": "what differs between jobs, and what came of it",
    "pull": "fetch a job's model",
    "ui": "the dashboard in the browser, on this machine and with your own rights",
}
_EPILOG = """\
@latest stands for the job submitted last, of those that run if any does; cells@latest for that of
the project cells.
exit codes: 0 done, 1 it cannot be done, 2 mistyped; of --wait and --follow also 3 the job failed,
4 it was stopped, 130 no longer waited for (the job goes on)"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see: {self.prog} --help)")


def parser() -> argparse.ArgumentParser:
    """All verbs with their options."""
    top = _Parser(
        PROGRAM,
        description="Training jobs on the command line.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"%(prog)s {installed_version()}")
    verbs = top.add_subparsers(dest="verb", metavar="VERB", parser_class=_Parser)
    common = _common()
    made = {
        name: verbs.add_parser(
            name, help=about, description=f"{about[0].upper()}{about[1:]}.", parents=[common],
            epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        for name, about in VERBS.items()
    }  # fmt: skip
    _add_looking(made)
    _add_steering(made)
    _add_records(made)
    return top


def _common() -> _Parser:
    common = _Parser(add_help=False)
    cluster = common.add_argument_group("where")
    cluster.add_argument("-n", "--namespace", help="instead of the context's")
    cluster.add_argument("--context", help="of the kubeconfig, instead of the current one")
    cluster.add_argument("--kubeconfig", help="instead of $KUBECONFIG or ~/.kube/config")
    cluster.add_argument(
        "--record", metavar="DIR|s3://BUCKET/PREFIX",
        help="read records there, instead of asking the cluster for its store",
    )  # fmt: skip
    cluster.add_argument(
        "--endpoint", metavar="URL", help="the store's address, where it is another from here"
    )
    return common


def _add_looking(verbs: Mapping[str, argparse.ArgumentParser]) -> None:
    for name in ("list", "queue", "top"):
        verb = verbs[name]
        verb.add_argument("-A", "--all-namespaces", action="store_true")
        verb.add_argument("-l", "--selector", default="", help="labels, such as team=vision")
    for name in ("list", "queue"):
        verbs[name].add_argument("-o", "--output", choices=FORMATS)
    verbs["list"].add_argument("jobs", nargs="*", metavar="JOB", help="these alone")
    verbs["list"].add_argument("--phase", action="append", help="of this phase (repeatable)")
    verbs["queue"].add_argument("queues", nargs="*", metavar="QUEUE", help="these alone")


def _add_steering(verbs: Mapping[str, argparse.ArgumentParser]) -> None:
    verbs["submit"].add_argument(
        "-f", "--filename", required=True, metavar="FILE", help="the job as YAML; - is stdin"
    )
    verbs["clone"].add_argument("job", metavar="JOB")
    check = verbs["check"]
    named = check.add_mutually_exclusive_group(required=True)
    named.add_argument("file", nargs="?", metavar="FILE", help="the job as YAML; - is stdin")
    named.add_argument("-f", "--filename", metavar="FILE", help="likewise, as for submit")
    check.add_argument("--local", action="store_true", help="ask no cluster")
    for name in ("submit", "clone", "check"):
        verb = verbs[name]
        verb.add_argument(
            "--set", action="append", default=[], metavar="FIELD=VALUE",
            help="of the spec, for example training.maxSteps=500 (repeatable)",
        )  # fmt: skip
        verb.add_argument("--name", help="the new job's")
    for name in ("submit", "clone"):
        verbs[name].add_argument(
            "--dry-run", action="store_true", help="print the job, and submit none"
        )
    for name in ("stop", "resume"):
        verbs[name].add_argument("jobs", nargs="+", metavar="JOB")
    for name in ("submit", "clone", "resume"):
        stay = verbs[name].add_mutually_exclusive_group()
        stay.add_argument("--wait", action="store_true", help="until the job ends")
        stay.add_argument("--follow", action="store_true", help="likewise, and print its log")
    verbs["stop"].add_argument("--wait", action="store_true", help="until the jobs have ended")


def _add_records(verbs: Mapping[str, argparse.ArgumentParser]) -> None:
    for name in ("logs", "metrics", "pull"):
        verbs[name].add_argument("job", metavar="JOB")
    logs = verbs["logs"]
    logs.add_argument("-f", "--follow", action="store_true", help="wait for it, until the job ends")
    logs.add_argument("--tail", type=_count, metavar="N", help="the last lines alone")
    logs.add_argument("--attempt", type=_count, metavar="N", help="of the record: this one alone")
    metrics = verbs["metrics"]
    metrics.add_argument(
        "--metric", action="append", help="this one, as validation/boxes/map (repeatable)"
    )
    form = metrics.add_mutually_exclusive_group()
    form.add_argument("--csv", action="store_true", help="every point")
    form.add_argument("--json", action="store_true", help="every point, and what became of each")
    form.add_argument("--plot", action="store_true", help="curves, as wide as the terminal")
    metrics.add_argument(
        "--around", type=_count, metavar="STEP", help="only the points next to a step"
    )
    compare = verbs["compare"]
    compare.add_argument("jobs", nargs="+", metavar="JOB", help="the first is the baseline")
    compare.add_argument("--diff-only", action="store_true", help="leave out what they share")
    compare.add_argument("-o", "--output", choices=("json", "yaml"))
    ui = verbs["ui"]
    ui.add_argument(
        "--port", type=_port, default=0, help="of 127.0.0.1; by default any that is free"
    )
    ui.add_argument(
        "--no-browser", action="store_false", dest="browser", help="print the address alone"
    )
    verbs["pull"].add_argument("--to", metavar="DIR", help="a new folder (./JOB)")


def _count(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 10**9:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 on")
    return int(text)


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 <= int(text) < 1 << 16:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: it is a number up to 65535")
    return int(text)


_WITH_VALUE = ("-n", "--namespace", "--context", "--kubeconfig", "--record", "--endpoint", "-l",
               "--selector", "-o", "--output", "--phase")  # fmt: skip


def with_verb(words: Sequence[str]) -> list[str]:
    """What was typed, its verb first: options may stand before it, and without one it is `list`."""
    if words[:1] == ["help"]:
        return [*words[1:], "--help"]
    if any(word in ("-h", "--help", "--version") for word in words[:1]):
        return list(words)
    takes_value = False
    for number, word in enumerate(words):
        if takes_value:
            takes_value = False
        elif word in _WITH_VALUE:
            takes_value = True
        elif not word.startswith("-"):
            return [word, *words[:number], *words[number + 1 :]]
    return [DEFAULT_VERB, *words]
