"""What the trainer's container may take of its node, as in a Pod, and held to a Pod's rules."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from sihl_api.schema import Rule, Schema
from sihl_api.texts import RESOURCE_NAME, Amount, is_amount

LEAST_MEMORY = "64Mi"
MOST_BYTES = "1Pi"
"""Of anything: no node has so much, and whoever writes it means another unit."""
LEAST_CPU = "100m"
"""As a limit: with less the trainer's libraries alone take the better part of an hour to load."""
MOST_CPUS = "4096"


def _each(cel: str, message: str) -> tuple[Rule, ...]:
    """A rule on both mappings; `@` stands for the mapping."""
    return tuple(
        Rule(f"!has(self.{field}) || {cel.replace('@', f'self.{field}')}", message, f".{field}")
        for field in ("requests", "limits")
    )


def _held(name: str, cel: str) -> str:
    """What is said of one resource's amount, `#`, where it is given and is one."""
    text = f"string(@['{name}'])"
    held = cel.replace("#", f"quantity({text})")
    return f"!('{name}' in @) || !({is_amount(text)}) || {held}"


_BYTES = (
    f"#.compareTo(quantity('{LEAST_MEMORY}')) >= 0 && #.compareTo(quantity('{MOST_BYTES}')) <= 0 "
    "&& !string(@['%s']).endsWith('m')"
)
_AT_LEAST = _held("cpu", f"#.compareTo(quantity('{LEAST_CPU}')) >= 0")
_IS_WHOLE = "(k.contains('/') || k.startsWith('hugepages-'))"
_SAME = (
    f"{is_amount('string(self.requests[k])')} && {is_amount('string(self.limits[k])')} && "
    "quantity(string(self.requests[k])).compareTo(quantity(string(self.limits[k])))"
)


class Resources(Schema):
    """CPU, memory and ephemeral storage of the trainer's container, as in a Pod."""

    rules: ClassVar[tuple[Rule, ...]] = (
        *_each(
            f"@.all(k, k.{RESOURCE_NAME.cel} && !k.startsWith('requests.') && "
            "!k.contains('kubernetes.io/'))",
            RESOURCE_NAME.message,
        ),
        *_each(
            _held("memory", _BYTES % "memory"),
            f"memory is counted in bytes, at least {LEAST_MEMORY} and at most {MOST_BYTES}: write "
            "8Gi or 512Mi (8 is eight bytes, and 512m half of one)",
        ),
        *_each(
            _held("ephemeral-storage", _BYTES % "ephemeral-storage"),
            f"ephemeral-storage is counted in bytes, at least {LEAST_MEMORY} and at most "
            f"{MOST_BYTES}: write 50Gi",
        ),
        *_each(
            _held("cpu", f"#.compareTo(quantity('{MOST_CPUS}')) <= 0"),
            f"cpu is counted in cores, at most {MOST_CPUS}: write 4, or 500m for half of one",
        ),
        Rule(
            f"!has(self.limits) || {_AT_LEAST.replace('@', 'self.limits')}",
            f"no trainer starts with less than {LEAST_CPU} of a core (and 0 is no limit): write 4, "
            "or 500m for half of one, or leave it out",
            ".limits",
        ),
        *_each(
            f"@.all(k, !{_IS_WHOLE} || !({is_amount('string(@[k])')}) || "
            "quantity(string(@[k])).isInteger())",
            "devices and huge pages cannot be divided: write a whole number",
        ),
        *_each(
            f"@.all(k, !k.startsWith('hugepages-') || !k.{RESOURCE_NAME.cel} || "
            f"!({is_amount('string(@[k])')}) || !quantity(string(@[k])).isInteger() || "
            "quantity(string(@[k])).asInteger() % "
            "quantity(k.replace('hugepages-', '')).asInteger() == 0)",
            "huge pages are given whole: write a multiple of their size, for example 128Mi of "
            "hugepages-2Mi",
        ),
        Rule(
            "!has(self.requests) || !has(self.limits) || self.requests.all(k, "
            f"!(k in self.limits) || {_SAME} <= 0)",
            "what is requested must not exceed its limit",
            ".requests",
        ),
        Rule(
            f"!has(self.requests) || self.requests.all(k, !{_IS_WHOLE} || has(self.limits) && "
            f"k in self.limits && {_SAME} == 0)",
            "devices and huge pages are not shared: give them among limits, and if also among "
            "requests, as many",
            ".requests",
        ),
    )

    requests: dict[str, Amount] = Field(default={}, max_length=10)
    limits: dict[str, Amount] = Field(default={}, max_length=10)
