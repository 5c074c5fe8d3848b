"""What Argo CD is to know of TrainingJobs: a patch of its ConfigMap argocd-cm, from Lua files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from sihl_api.trainingjob import GROUP, KIND

FOLDER = Path(__file__).parent / "argo-cd"
CUSTOMIZATION = FOLDER / "resource_customizations" / GROUP / KIND
"""As Argo CD's own repository has it."""
ACTIONS = ("suspend", "resume", "raise-priority", "start-again")

_HEADER = """\
# Written by `make gitops` from resource_customizations/. To be patched into an Argo CD:
#   kubectl -n argocd patch configmap argocd-cm --patch-file gitops/argo-cd/argocd-cm.yaml
"""


class _Literal(yaml.SafeDumper):
    """Writes text of several lines as a person would."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Literal.add_representer(str, _text)


def _dumped(value: Any) -> str:
    return yaml.dump(value, Dumper=_Literal, sort_keys=False, width=1000)


def script(*parts: str) -> str:
    """A Lua file below the customization's folder."""
    return CUSTOMIZATION.joinpath(*parts).read_text()


def patch() -> dict[str, Any]:
    """The ConfigMap's entries for TrainingJobs.

    `suspend` belongs to whoever stops and resumes the job. An operator's writes into the status are
    no reason to compare a job with Git, unless its health changes by them.
    """
    kind = f"{GROUP}_{KIND}"
    actions = {
        "discovery.lua": script("actions", "discovery.lua"),
        "definitions": [
            {"name": name, "action.lua": script("actions", name, "action.lua")} for name in ACTIONS
        ],
    }
    entries = {
        "health": script("health.lua"),
        "actions": _dumped(actions),
        "ignoreDifferences": _dumped({"jsonPointers": ["/spec/suspend"]}),
        "ignoreResourceUpdates": _dumped({"jsonPointers": ["/status"]}),
    }
    return {
        "data": {f"resource.customizations.{key}.{kind}": text for key, text in entries.items()}
    }


def patch_text() -> str:
    """`argocd-cm.yaml`."""
    return _HEADER + _dumped(patch())
