"""Renders the CustomResourceDefinition from the types in `trainingjob` and `status`.

Run as `python -m sihl_api.crd > crds/trainingjobs.sihl.ai.yaml`; a test holds the two together.
Pydantic writes JSON Schema 2020-12; the API server wants a structural OpenAPI v3.0 schema:
references inlined, no unions with null, draft-4 exclusive bounds, no titles.
"""

from __future__ import annotations

import sys
from typing import Any

import yaml

from sihl_api import trainingjob as api
from sihl_api.schema import VALIDATIONS, Rule, Schema
from sihl_api.status import TrainingJobStatus

_KEPT = {
    "type", "description", "enum", "pattern", "minLength", "maxLength", "minimum", "maximum",
    "multipleOf", "minItems", "maxItems", "maxProperties", "format", "required",
}  # fmt: skip


def custom_resource_definition() -> dict[str, Any]:
    """The CRD as the API server takes it."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{api.PLURAL}.{api.GROUP}"},
        "spec": {
            "group": api.GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": api.KIND,
                "listKind": f"{api.KIND}List",
                "plural": api.PLURAL,
                "singular": api.KIND.lower(),
                "shortNames": [api.SHORT_NAME, f"{api.SHORT_NAME}s"],
                "categories": ["sihl"],
            },
            "versions": [_version()],
        },
    }


_UNSEEN = {"observedGeneration": -1}
"""A new job's status: whoever waits for one takes it for unseen, and not for one that is well."""
_REASON = '.status.conditions[?(@.type=="Admitted")].reason'


def _version() -> dict[str, Any]:
    return {
        "name": api.VERSION,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "selectableFields": [{"jsonPath": ".spec.project"}, {"jsonPath": ".status.phase"}],
        "additionalPrinterColumns": [
            _column("Queue", ".status.queue"),
            _column("Phase", ".status.phase"),
            _column("Reason", _REASON, description="Why it waits, or how it ended"),
            _column("Position", ".status.queuePosition", "integer"),
            _column("Progress", ".status.progress.percent", "integer", "Percent of maxSteps"),
            _column("Left", ".status.progress.remaining", description="Time left"),
            _column("Age", ".metadata.creationTimestamp", "date"),
            _column("Node", ".status.nodeName", priority=1),
            _column("Attempt", ".status.attempt", "integer", priority=1),
            _column("Metrics", ".status.metrics", priority=1),
        ],
        "schema": {"openAPIV3Schema": _root()},
    }


def _column(
    name: str, path: str, kind: str = "string", description: str = "", priority: int = 0
) -> dict[str, Any]:
    column: dict[str, Any] = {"name": name, "type": kind, "jsonPath": path}
    if description:
        column["description"] = description
    if priority:
        column["priority"] = priority
    return column


def _root() -> dict[str, Any]:
    return {
        "type": "object",
        "description": "A vision model to be trained: waits in its project's queue, runs, ends.",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": structural_schema(api.TrainingJobSpec),
            "status": structural_schema(TrainingJobStatus) | {"default": _UNSEEN},
        },
        VALIDATIONS: _validations(api.JOB_RULES),
    }


def structural_schema(model: type[Schema]) -> dict[str, Any]:
    """The structural schema of a class, its parts inlined and its rules attached."""
    schema = model.model_json_schema(by_alias=True)
    rules = {part.__name__: part.rules for part in _subclasses(Schema)}
    return _structural(schema, schema.get("$defs", {}), rules)


def _subclasses(base: type[Schema]) -> list[type[Schema]]:
    found = [base]
    for child in base.__subclasses__():
        found.extend(_subclasses(child))
    return found


def _structural(
    node: dict[str, Any], defs: dict[str, Any], rules: dict[str, tuple[Rule, ...]]
) -> dict[str, Any]:
    merged = _without_null(_resolved(node, defs), defs)
    own_rules = rules.get(str(merged.get("title")), ())
    result = {key: value for key, value in merged.items() if key in _KEPT}
    result |= {key: value for key, value in merged.items() if key.startswith("x-kubernetes-")}
    if merged.get("x-kubernetes-int-or-string"):
        result.pop("type", None)
    if "const" in merged:
        result["enum"] = [merged["const"]]
    if merged.get("type") == "integer":
        result["format"] = "int64"
    for bound in ("minimum", "maximum"):
        exclusive = f"exclusive{bound.capitalize()}"
        if exclusive in merged:
            result |= {bound: merged[exclusive], exclusive: True}
    if merged.get("default") is not None:
        result["default"] = _default(merged["default"], bool(own_rules))
    if "properties" in merged:
        result["properties"] = {
            name: _structural(child, defs, rules) for name, child in merged["properties"].items()
        }
    if "items" in merged:
        result["items"] = _structural(merged["items"], defs, rules)
    additional = merged.get("additionalProperties")
    if isinstance(additional, dict):
        result["additionalProperties"] = _structural(additional, defs, rules)
    if own_rules:
        result[VALIDATIONS] = [*result.get(VALIDATIONS, ()), *_validations(own_rules)]
    return result


def _default(default: Any, has_rules: bool) -> Any:
    """A default as the CRD states it.

    An object's is {}: the defaults of its fields then follow by themselves. But the API server
    holds a default to the object's rules as it stands, so one with rules states its plain fields.
    """
    if not isinstance(default, dict):
        return default
    plain = {k: v for k, v in default.items() if isinstance(v, str | int | float)}
    return plain if has_rules else {}


def _resolved(node: dict[str, Any], defs: dict[str, Any]) -> dict[str, Any]:
    """The node with its reference followed; what stands beside the reference wins."""
    if "$ref" not in node:
        return node
    target = defs[node["$ref"].rsplit("/", 1)[1]]
    return {**target, **{key: value for key, value in node.items() if key != "$ref"}}


def _without_null(node: dict[str, Any], defs: dict[str, Any]) -> dict[str, Any]:
    """An optional field is one that may be left out, not one that may be null."""
    if "anyOf" not in node or node.get("x-kubernetes-int-or-string"):
        return node
    choices = [choice for choice in node["anyOf"] if choice.get("type") != "null"]
    if len(choices) != 1:
        raise TypeError(f"a union of several types has no structural schema: {node}")
    outside = {key: value for key, value in node.items() if key not in ("anyOf", "title")}
    return {**_resolved(choices[0], defs), **outside}


def _validations(rules: tuple[Rule, ...]) -> list[dict[str, Any]]:
    return [
        {"rule": rule.cel, "message": rule.message}
        | ({"fieldPath": rule.field_path} if rule.field_path else {})
        for rule in rules
    ]


class _Dumper(yaml.SafeDumper):
    """Writes no aliases: the API server's clients differ in how they read them."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 (the base class's signature)
        return True


def render() -> str:
    """The CRD as YAML."""
    header = "# Generated from crds/sihl_api by `make crd`: change it there.\n"
    return header + yaml.dump(
        custom_resource_definition(), Dumper=_Dumper, sort_keys=False, width=100
    )


if __name__ == "__main__":
    sys.stdout.write(render())
