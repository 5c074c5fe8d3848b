"""What a setting may be: checks that raise ValueError, and say what would be right."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError

from sihl_api.placement import Toleration
from sihl_api.schema import Form
from sihl_api.texts import DEVICE, IMAGE, LABEL_NAME, LABEL_VALUE, NAMESPACE, OBJECT_NAME
from sihl_api.units import quantity

Check = Callable[[Any], None]

ARCHITECTURES = ("386", "amd64", "arm", "arm64", "loong64", "ppc64le", "riscv64", "s390x")
"""What nodes call themselves by the label kubernetes.io/arch: Go's names."""
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64", "i686": "386", "armv7l": "arm"}

_LONGEST_SECONDS = 366 * 24 * 3600


def architecture(machine: str) -> str:
    """A machine's, as Kubernetes calls it."""
    return _MACHINES.get(machine, machine)


def from_json(text: str) -> Any:
    """A value that was written as JSON; a list becomes a tuple."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"must be JSON ({error})") from None
    return tuple(value) if isinstance(value, list) else value


def anything(value: Any) -> None:
    """Whatever has the type is right."""


def one_of(*values: str) -> Check:
    """One of these words."""

    def check(value: str) -> None:
        if value not in values:
            raise ValueError(f"must be one of {', '.join(values)}")

    return check


def between(least: int, most: int) -> Check:
    """A number from `least` to `most`."""

    def check(value: int) -> None:
        if not least <= value <= most:
            raise ValueError(f"must be from {least} to {most}")

    return check


def a_duration(at_least: int) -> Check:
    """Seconds, no more than a year."""

    def check(value: float) -> None:
        if not at_least <= value <= _LONGEST_SECONDS:
            raise ValueError(f"must be from {at_least}s to {_LONGEST_SECONDS // 3600}h")

    return check


def an_amount(least: str, example: str) -> Check:
    """A quantity of no less than `least`."""

    def check(value: str) -> None:
        if quantity(value) < quantity(least):
            raise ValueError(f"must be {least} or more: write it like {example}")

    return check


def maybe(check: Check) -> Check:
    """Nothing, or what `check` lets through."""
    return lambda value: check(value) if value else None


def unless_none(check: Check) -> Check:
    """None, or what `check` lets through."""
    return lambda value: None if value is None else check(value)


def an_address(value: Any) -> None:
    """Of IPv4 or IPv6. Raises ValueError."""
    ipaddress.ip_address(value)


def each(check: Check) -> Check:
    """Any number of values that `check` lets through."""

    def check_each(values: Any) -> None:
        if not isinstance(values, tuple):
            raise ValueError("must be a list")
        for value in values:
            check(value)

    return check_each


def some(check: Check) -> Check:
    """One value or more that `check` lets through."""

    def check_some(values: Any) -> None:
        if not values:
            raise ValueError("must name one at least")
        each(check)(values)

    return check_some


def _matching(form: Form, most: int, what: str) -> Check:
    def check(value: str) -> None:
        if len(value) > most or not form.holds(value):
            raise ValueError(f"{value!r} is no {what}")

    return check


an_image = _matching(IMAGE, 500, "image: write it like registry.example.com/sihl/trainer:0.1.0")
a_namespace = _matching(NAMESPACE, 63, "namespace: small letters, digits and -")
an_object_name = _matching(OBJECT_NAME, 253, "name of an object: small letters, digits, - and .")
an_extended_resource = _matching(
    DEVICE, 317, "extended resource: a domain and a name, like nvidia.com/gpu"
)
_a_label = _matching(LABEL_NAME, 317, "label's name")
_a_label_value = _matching(LABEL_VALUE, 63, "label's value")


def a_url(value: str) -> None:
    """An http or https URL of a host, and no more than a path."""
    if not re.fullmatch(r"https?://[A-Za-z0-9.\-]+(:[0-9]{1,5})?(/[\w./\-]*)?", value):
        raise ValueError("must be a URL: write it like http://collector.monitoring:4318")


def by_namespace(check: Check) -> Check:
    """A value for each of some namespaces that `check` lets through."""

    def check_each(values: Any) -> None:
        if not isinstance(values, Mapping):
            raise ValueError('must be given by namespace: write it like {"vision": "..."}')
        for namespace, value in values.items():
            a_namespace(namespace)
            if not isinstance(value, str):
                raise ValueError(f"{namespace}: {json.dumps(value)} is no text")
            check(value)

    return check_each


def labels(value: Any) -> None:
    """Names and values of a node's labels."""
    if not isinstance(value, Mapping):
        raise ValueError('must be labels: write them like {"pool": "training"}')
    for name, text in value.items():
        _a_label(name)
        if not isinstance(text, str):
            raise ValueError(f"{name}: {json.dumps(text)} is no text: write it in quotation marks")
        _a_label_value(text)


def a_toleration(value: Any) -> None:
    """A toleration as in a Pod."""
    try:
        toleration = Toleration.model_validate(value)
    except ValidationError as error:
        faults = (f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ValueError(f"{json.dumps(value)}: {'; '.join(faults)}") from None
    if toleration.operator == "Exists" and toleration.value:
        raise ValueError(f"{json.dumps(value)}: a value goes with the operator Equal")
    if not toleration.key and toleration.operator != "Exists":
        raise ValueError(f"{json.dumps(value)}: without a key the operator is Exists")
    if toleration.key:
        _a_label(toleration.key)
    _a_label_value(toleration.value or "")
