"""`kubectl_complete-sihl`: what kubectl asks when Tab is pressed behind `kubectl sihl`.

kubectl calls it with the words typed so far, the last of them unfinished, and reads candidates, one
a line with an explanation behind a tab, then a line with a colon and cobra's directive.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence

from sihl_api.status import Phase
from sihl_dashboard.cli.arguments import VERBS, parser, with_verb
from sihl_dashboard.cli.assignments import paths
from sihl_dashboard.cli.errors import CommandError
from sihl_dashboard.cli.latest import LATEST
from sihl_dashboard.cli.terminal import shown

FILES, NO_FILES, NO_SPACE = 0, 4, 6
"""Directives: complete names of files; do not; nor put a blank behind."""

Names = Callable[[argparse.Namespace], list[str]]
_OF_FILES = ("-f", "--filename", "--kubeconfig", "--record", "--to")
_NAMED = ("list", "stop", "resume", "logs", "clone", "metrics", "compare", "pull")


def candidates(words: Sequence[str], names: Names) -> tuple[list[str], int]:
    """What the last word may become, and a directive.

    Args:
        words: Behind `kubectl sihl`; the last is unfinished, and may be empty.
        names: Of jobs, asked for only where one may stand.
    """
    *before, last = words or [""]
    verb = next((word for word in before if word in VERBS), None)
    previous = before[-1] if before else ""
    if verb in ("submit", "clone", "check") and previous == "--set":
        return [f"{path}=" for path in paths() if path.startswith(last)], NO_SPACE
    if verb == "check" and not last.startswith("-") and not _takes_value(verb, previous):
        return [], FILES
    if previous in _OF_FILES and not (verb == "logs" and previous == "-f"):
        return [], FILES
    if last.startswith("-"):
        return _starting(_options(verb or "list"), last), NO_FILES
    if chosen := _choices(verb or "list", previous):
        return _starting(dict.fromkeys(chosen, ""), last), NO_FILES
    if verb is None:
        return _starting(VERBS, last), NO_FILES
    if verb not in _NAMED or _takes_value(verb, previous):
        return [], NO_FILES
    typed = set(before)
    found = names(_read(verb, before))
    return [name for name in found if name.startswith(last) and name not in typed], NO_FILES


def _starting(found: Mapping[str, str], start: str) -> list[str]:
    return [
        f"{name}\t{about}" if about else name
        for name, about in found.items()
        if name.startswith(start)
    ]


def _verb_parser(verb: str) -> argparse.ArgumentParser:
    for action in parser()._actions:
        if isinstance(action, argparse._SubParsersAction):
            found: argparse.ArgumentParser = action.choices[verb]
            return found
    raise AssertionError  # the parser has verbs


def _options(verb: str) -> dict[str, str]:
    return {
        option: action.help or ""
        for action in _verb_parser(verb)._actions
        for option in action.option_strings
        if option.startswith("--")
    }


def _action(verb: str, option: str) -> argparse.Action | None:
    actions = _verb_parser(verb)._actions
    return next((action for action in actions if option in action.option_strings), None)


def _choices(verb: str, option: str) -> list[str]:
    if option == "--phase":
        return list(Phase)
    action = _action(verb, option)
    return list(action.choices or ()) if action else []


def _takes_value(verb: str, option: str) -> bool:
    action = _action(verb, option)
    return action is not None and action.nargs is None


def _read(verb: str, before: Sequence[str]) -> argparse.Namespace:
    """The options so far, as far as they can be understood."""
    asked = [word for word in before if word != verb]
    kept = []
    for number, word in enumerate(asked):
        if word in ("-n", "--namespace", "--context", "--kubeconfig") and number + 1 < len(asked):
            kept += [word, asked[number + 1]]
        elif word.startswith(("--namespace=", "--context=", "--kubeconfig=")):
            kept.append(word)
    return parser().parse_args(with_verb(["list", *kept]))


def cluster_names(environ: Mapping[str, str]) -> Names:
    """Jobs of the namespace; none where the cluster does not say: nobody reads an error here."""

    def names(options: argparse.Namespace) -> list[str]:
        from sihl_dashboard.cli.cluster import Cluster

        try:
            cluster = Cluster(environ, options.kubeconfig, options.context)
            jobs = cluster.jobs(options.namespace or cluster.namespace)
        except CommandError:
            return []
        return [*sorted(job.name for job in jobs), *([LATEST] if jobs else ())]

    return names


def main() -> None:
    """Print candidates and the directive."""
    found, directive = candidates(sys.argv[1:], cluster_names(os.environ))
    for line in found:
        name, tab, about = line.partition("\t")
        print(f"{shown(name)}{tab}{shown(about)}")
    print(f":{directive}")
