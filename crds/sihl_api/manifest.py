"""Jobs as they are written down: YAML, read as kubectl reads it."""

from __future__ import annotations

import re
from typing import Any

import yaml
from yaml.composer import ComposerError
from yaml.constructor import ConstructorError

_DEEPEST = 100
"""Of what lies within another; a job's own fields are seven deep."""


class Loader(yaml.SafeLoader):
    """PyYAML's, which by itself takes 1e-3 for a text, because it has no point, the last of two
    values for a key, and what contains itself; and of a number or a date that is none raises
    anything but a YAMLError.
    """

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self._open: list[str | None] = []
        """Anchors of the nodes that are being read, the outermost first."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        """As PyYAML's, within bounds. Raises ComposerError."""
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        anchor = getattr(event, "anchor", None)
        if self.check_event(yaml.AliasEvent):
            if anchor in self._open:
                raise ComposerError(None, None, f"*{anchor} contains itself", event.start_mark)
            return super().compose_node(parent, index)
        if len(self._open) >= _DEEPEST:
            raise ComposerError(None, None, "it is nested too deep", event.start_mark)
        self._open.append(anchor)
        node = super().compose_node(parent, index)
        self._open.pop()
        return node

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        """As PyYAML's; a value that its own kind does not have is an error of YAML as well."""
        try:
            return super().construct_object(node, deep)
        except (ValueError, TypeError, AttributeError, LookupError, OverflowError) as error:
            raise ConstructorError(None, None, str(error), node.start_mark) from None

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        """As PyYAML's; a key that stands there twice is an error, as it is for kubectl."""
        known = set()
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if isinstance(key, yaml.ScalarNode):
                if (key.tag, key.value) in known:
                    raise ConstructorError(
                        None, None, f"the key {key.value} stands there twice", key.start_mark
                    )
                known.add((key.tag, key.value))
        return super().construct_mapping(node, deep)


Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+$"),
    list("-+.0123456789"),
)
