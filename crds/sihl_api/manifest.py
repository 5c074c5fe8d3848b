"""Jobs as they are written down: YAML, read as kubectl reads it."""

from __future__ import annotations

import re

import yaml


class Loader(yaml.SafeLoader):
    """PyYAML's, which by itself takes 1e-3 for a text, because it has no point."""


Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+$"),
    list("-+.0123456789"),
)
