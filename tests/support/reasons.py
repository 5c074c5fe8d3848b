"""Reasons as the code gives them, read from its calls."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = ("crds/sihl_api", "crds/sihl_s3", "operator/sihl_operator", "trainer_image/sihl_trainer")
_REASON = re.compile(r"[A-Z][A-Za-z]+")
_SAY = {"Ending", "Notice", "Result", "with_condition", "refuse_impossible"}
"""What is given a reason, beside the trainer's errors."""


def of_stores() -> set[str]:
    """What is wrong with a store, by names that stand after `Dataset` or `Store`."""
    files = (ROOT / "crds" / "sihl_s3").glob("*.py")
    calls = [node for file in files for node in ast.walk(ast.parse(file.read_text()))]
    names = {text for node in calls for text in _fault(node)}
    return names - {"ObjectMissing", "Unchanged"}  # told as `Changed`, and as no fault at all


def given() -> set[str]:
    """Each reason that stands in the code, as a text or by the name of a constant."""
    trees = [
        ast.parse(file.read_text()) for each in FOLDERS for file in (ROOT / each).rglob("*.py")
    ]
    named = {name: text for tree in trees for name, text in _constants(tree)}
    calls = _SAY | _errors(trees)
    found = {text for tree in trees for text in _texts(tree, calls, named)}
    return {text for text in found if _REASON.fullmatch(text)}


def _constants(tree: ast.Module) -> Iterator[tuple[str, str]]:
    for node in tree.body:
        match node:
            case ast.Assign([ast.Name(name)], ast.Constant(str() as text)):
                yield name, text


def _errors(trees: list[ast.Module]) -> set[str]:
    found = {"TrainerError"}
    for tree in trees * 2:  # an error of an error
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                bases = {base.id for base in node.bases if isinstance(base, ast.Name)}
                found |= {node.name} if bases & found else set()
    return found


def _texts(tree: ast.Module, calls: set[str], named: dict[str, str]) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Call(ast.Name(name) | ast.Attribute(attr=name)) if name in calls:
                for argument in [*node.args, *(each.value for each in node.keywords)]:
                    yield from _of(argument, named)
            case ast.Tuple([ast.Attribute(ast.Name("ExitCode")) | ast.Name("without"), reason, _]):
                yield from _of(reason, named)


def _fault(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Call(ast.Name("Fault"), [_, name, *_]):
            yield from _of(name, {})


def _of(node: ast.expr, named: dict[str, str]) -> Iterator[str]:
    match node:
        case ast.Constant(str() as text):
            yield text
        case ast.Name(name) | ast.Attribute(attr=name) if name in named:
            yield named[name]
        case ast.IfExp(_, one, other):
            yield from _of(one, named)
            yield from _of(other, named)
