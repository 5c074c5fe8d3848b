"""Random specs of TrainingJobs, drawn from the CRD's own schema, and ways to spoil one.

What is drawn is legal as far as the schema says; rules between fields are the API server's to
decide on.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from typing import Any, get_args

from sihl_api.crd import custom_resource_definition
from sihl_api.pods import EnvironmentName, EnvironmentValue
from sihl_api.schema import VALIDATIONS, Form
from sihl_api.texts import (
    Audience,
    Bucket,
    Certificates,
    Duration,
    Endpoint,
    Image,
    LabelName,
    LabelValue,
    ModelUri,
    Name,
    NamespaceName,
    ObjectName,
    Prefix,
    Proxy,
    Quantity,
    Region,
    RoleArn,
)

Node = dict[str, Any]
Spec = dict[str, Any]


def _rule(form: Form) -> str:
    return f"self.{form.cel}"


_EXAMPLES: dict[str, tuple[str, ...]] = {
    _rule(get_args(kind)[-1]): examples
    for kind, examples in (
        (Name, ("a", "0", "cells-2", "x" * 50)),
        (NamespaceName, ("team-a", "n" * 63)),
        (ObjectName, ("a", "my.account-2", "b" * 253)),
        (LabelName, ("disktype", "example.com/Disk_Type", "x" * 63)),
        (LabelValue, ("", "ssd", "NVIDIA-H100-80GB", "x" * 63)),
        (Endpoint, ("http://s3", "https://s3.eu-west-1.amazonaws.com/", "http://[::1]:80")),
        (Proxy, ("http://proxy.example.org:3128",)),
        (Certificates, ("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",)),
        (Bucket, ("abc", "my.bucket-2", "b" * 63)),
        (Prefix, ("", "a", "Zürich/a b/$(HOME)", "'{{ x }}\"\\", "x" * 900)),
        (Region, ("auto", "eu-west-1")),
        (RoleArn, ("arn:aws:iam::123456789012:role/cells-reader",)),
        (Audience, ("sts.amazonaws.com", "a")),
        (ModelUri, ("s3://b/k", "s3://b/$(HOME)/ü")),
        (Duration, ("90s", "10m", "1h30m", "36h5m1s", "999999h", "999999h9999999m")),
        (Quantity, ("1.5Gi", "2Gi", "500M", "1Pi")),
        (EnvironmentName, ("NCCL_DEBUG", "_")),
        (EnvironmentValue, ("", "a b", "$(HOME)", "ü\n")),
        (Image, ("trainer", f"registry.example.com:5000/a/b@sha256:{'0' * 64}", "a:B")),
    )
}
"""By a text's form, what fits it: a new form needs its own."""
_AMOUNTS = (0, 1, 2, "1.5", "2Gi", "500M", ".5G", "1Pi")
_TEXTS = ("a", "Zürich", "a b", "$(HOME)", "../..", "-", "'\"\\\n\t", "{{ x }}", "null")
_LABELS = ("disktype", "example.com/thing", "Not A Name!", "-")
_RESOURCES = ("cpu", "memory", "ephemeral-storage", "example.com/thing", "mem")


class Specs:
    """Draws specs by chance; the same chance draws the same."""

    def __init__(self, chance: random.Random) -> None:
        version = custom_resource_definition()["spec"]["versions"][0]
        self._schema: Node = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
        self._chance = chance

    def drawn(self, project: str) -> Spec:
        """A spec that the schema allows, of that project."""
        return {**self._draw(self._schema), "project": project, "suspend": False}

    def spoiled(self, spec: Spec) -> tuple[Spec, str]:
        """The spec with one value that its schema does not allow, and the name of its field."""
        spec = copy.deepcopy(spec)
        holder, key, node = self._chance.choice([*_places(spec, self._schema)])
        if node.get("type") == "object" and "properties" in node and self._chance.random() < 0.5:
            holder[key]["colour"] = "blue"
            return spec, "colour"
        holder[key] = self._chance.choice([*_unfit(node)])
        return spec, key

    def _draw(self, node: Node) -> Any:
        chance = self._chance
        if "enum" in node:
            return chance.choice(node["enum"])
        if node.get("x-kubernetes-int-or-string"):
            return chance.choice(_AMOUNTS)
        match node["type"]:
            case "boolean":
                return chance.random() < 0.5
            case "integer" | "number":
                return self._draw_number(node)
            case "string":
                return self._draw_text(node)
            case "array":
                least = node.get("minItems", 0)
                count = chance.randint(least, min(node["maxItems"], least + 2))
                items = [self._draw(node["items"]) for _ in range(count)]
                return sorted(items) if node["items"]["type"] == "integer" else items
        if "additionalProperties" in node:
            values = node["additionalProperties"]
            keys = _RESOURCES if values.get("x-kubernetes-int-or-string") else _LABELS
            return {key: self._draw(values) for key in chance.sample(keys, chance.randint(0, 2))}
        needed = node.get("required", ())
        return {
            name: self._draw(child)
            for name, child in node["properties"].items()
            if name in needed or chance.random() < 0.3
        }

    def _draw_number(self, node: Node) -> float:
        low, high = node.get("minimum", 0), node.get("maximum", 100)
        if node["type"] == "integer":
            low, high = -(-low // 1), high
            step = node.get("multipleOf", 1)
            edges = [low, high, node.get("default", low), min(high, low + 3 * step)]
            return int(self._chance.choice([*edges, self._chance.randrange(low, high + 1, step)]))
        inside = low + (high - low) * self._chance.uniform(0.01, 0.99)
        edges = [inside, node.get("default", inside)]
        edges += [] if node.get("exclusiveMinimum") else [low]
        edges += [] if node.get("exclusiveMaximum") else [high]
        return float(self._chance.choice(edges))

    def _draw_text(self, node: Node) -> str:
        if "pattern" in node:
            fits = _EXAMPLES[_rule(Form(node["pattern"], ""))]
        elif VALIDATIONS in node:
            fits = _EXAMPLES[node[VALIDATIONS][0]["rule"]]
        else:
            fits = (*_TEXTS, "x" * node.get("maxLength", 300), *[""] * (not node.get("minLength")))
        least, most = node.get("minLength", 0), node.get("maxLength", 300)
        return self._chance.choice([text for text in fits if least <= len(text) <= most])


def _places(value: Any, node: Node) -> Iterator[tuple[Any, str, Node]]:
    """Each field below a value: what holds it, its name, its schema."""
    for key, child in node.get("properties", {}).items():
        if key in value:
            yield value, key, child
            yield from _places(value[key], child)
    if node.get("type") == "array" and "properties" in node["items"]:
        for item in value:
            yield from _places(item, node["items"])


def _unfit(node: Node) -> Iterator[Any]:
    """Values that a field's schema does not allow."""
    match node["type"]:
        case "integer":
            yield from ("5", 1.5, node.get("maximum", 2**63 - 1) + 1, node.get("minimum", 0) - 1)
        case "number":
            yield from ("5", node.get("maximum", 1e300) + 1, node.get("minimum", 0) - 1)
        case "boolean":
            yield from ("true", 1)
        case "string":
            yield 5
            if "maxLength" in node:
                yield "x" * (node["maxLength"] + 1)
            if "enum" in node:
                yield "Juggling"
        case "array":
            yield from ({}, "text")
        case "object":
            yield from ([], "text")
