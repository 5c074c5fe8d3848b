"""`--set training.maxSteps=500`: fields of a spec, by the paths that `compare` shows them under."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from types import NoneType
from typing import Annotated, Any, get_args, get_origin

import yaml
from pydantic import BaseModel, TypeAdapter, ValidationError

from sihl_api.manifest import Loader
from sihl_api.trainingjob import TrainingJobSpec
from sihl_dashboard.cli.errors import UsageError
from sihl_dashboard.cli.terminal import shown


@dataclass(frozen=True)
class Assignment:
    """One field's new value.

    Args:
        path: Below spec: `training.maxSteps`, `model.heads.boxes.lossWeight`.
        text: The value as it was typed.
    """

    path: str
    text: str


def parse(text: str) -> Assignment:
    """Read `path=value`; a leading `spec.` may be there or not.

    Raises:
        UsageError: it has no path or no `=`.
    """
    path, equals, value = text.partition("=")
    path = path.strip().removeprefix("spec.")
    if not equals or not path:
        raise UsageError(
            f"--set {shown(text)}: write it as field=value, for example training.maxSteps=500"
        )
    return Assignment(path, value)


def assigned(spec: dict[str, Any], assignments: Iterable[Assignment]) -> dict[str, Any]:
    """The spec with fields set, one after the other; `null` takes a field out.

    A value is read as the field's type wants it, and held to its range. What lies between fields is
    the API server's to refuse.

    Raises:
        UsageError: there is no such field, or it takes no such value.
    """
    found = copy.deepcopy(spec)
    for each in assignments:
        _set(found, TrainingJobSpec, each.path, each)
    return found


def paths(model: type[BaseModel] = TrainingJobSpec, prefix: str = "") -> list[str]:
    """All fields that can be set, but for those of list entries."""
    found = []
    for name, field in model.model_fields.items():
        path = f"{prefix}{field.alias or name}"
        inner = _class_of(field.annotation)
        found += paths(inner, f"{path}.") if inner else [path]
    return found


def _set(holder: dict[str, Any], model: type[BaseModel], path: str, whole: Assignment) -> None:
    name, _, rest = path.partition(".")
    fields = {field.alias or key: field for key, field in model.model_fields.items()}
    if name not in fields:
        raise UsageError(
            f"--set {shown(whole.path)}: there is no field {shown(name)}; there are "
            f"{', '.join(sorted(fields))}"
        )
    annotation = fields[name].annotation
    if not rest:
        for constraint in fields[name].metadata:
            annotation = Annotated[annotation, constraint]  # type: ignore[assignment]
        _put(holder, name, annotation, whole)
        return
    if inner := _class_of(annotation):
        _set(_below(holder, name), inner, rest, whole)
    elif entry := _entry_of(annotation):
        _set_entry(holder.get(name) or [], entry, rest, whole)
    elif (pairs := _pairs_of(annotation)) is not None:
        _put(_below(holder, name), rest, pairs, whole)  # a key may have dots: nvidia.com/gpu
    else:
        above = whole.path.removesuffix(f".{rest}")
        raise UsageError(f"--set {shown(whole.path)}: {shown(above)} has no fields of its own")


def _set_entry(entries: list[Any], model: type[BaseModel], path: str, whole: Assignment) -> None:
    """In a list: the entry of that name, such as a head's, or of that number from 0."""
    name, _, rest = path.partition(".")
    for number, entry in enumerate(entries):
        if isinstance(entry, dict) and name in (entry.get("name"), str(number)):
            if rest:
                _set(entry, model, rest, whole)
                return
            break
    known = [str(each.get("name", number)) for number, each in enumerate(entries)]
    raise UsageError(
        f"--set {shown(whole.path)}: name one of its entries and a field of it; "
        f"the job has {shown(', '.join(known)) or 'none'}"
    )


def _below(holder: dict[str, Any], name: str) -> dict[str, Any]:
    if not isinstance(holder.get(name), dict):
        holder[name] = {}
    inner: dict[str, Any] = holder[name]
    return inner


def _put(holder: dict[str, Any], name: str, annotation: Any, whole: Assignment) -> None:
    if whole.text.strip() == "null":
        holder.pop(name, None)
        return
    holder[name] = _value(annotation, whole)


def _value(annotation: Any, whole: Assignment) -> Any:
    """What was typed, as the field's type has it: 1e-3 is a number and an image 1.0 a text."""
    try:
        parsed = yaml.load(whole.text, Loader)  # noqa: S506 (a SafeLoader)
    except yaml.YAMLError:
        parsed = whole.text
    adapter: TypeAdapter[Any] = TypeAdapter(annotation)
    wrong: ValidationError | None = None
    for candidate in (parsed, whole.text):
        try:
            value = adapter.validate_python(candidate)
        except ValidationError as error:
            wrong = wrong or error
        else:
            return adapter.dump_python(value, mode="json", by_alias=True, exclude_unset=True)
    told = wrong.errors(include_url=False)[0]["msg"] if wrong else ""
    raise UsageError(f"--set {shown(whole.path)}={shown(whole.text)}: {told}")


def _plain(annotation: Any) -> Any:
    """A type without `| None` and without what Annotated adds."""
    if get_origin(annotation) is Annotated:
        return _plain(get_args(annotation)[0])
    choices = [each for each in get_args(annotation) if each is not NoneType]
    if NoneType in get_args(annotation) and len(choices) == 1:
        return _plain(choices[0])
    return annotation


def _class_of(annotation: Any) -> type[BaseModel] | None:
    plain = _plain(annotation)
    return plain if isinstance(plain, type) and issubclass(plain, BaseModel) else None


def _entry_of(annotation: Any) -> type[BaseModel] | None:
    plain = _plain(annotation)
    return _class_of(get_args(plain)[0]) if get_origin(plain) is list else None


def _pairs_of(annotation: Any) -> Any:
    """The type of a mapping's values; None for what is none."""
    plain = _plain(annotation)
    return get_args(plain)[1] if get_origin(plain) is dict else None
