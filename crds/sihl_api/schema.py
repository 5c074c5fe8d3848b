"""What the types of a TrainingJob are made of: parts, the rules between their fields, and texts.

A schema's `pattern` is told to a person as a regular expression. So a text that must have a form
carries it as a `Form`, whose message shows an example; the API server holds to it in CEL.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler, JsonValue
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError, core_schema

VALIDATIONS = "x-kubernetes-validations"
LIST_KEYS = "x-kubernetes-list-map-keys"


def told_apart(*names: str) -> dict[str, JsonValue]:
    """Of a list's schema: no two of it agree in these fields."""
    return {"x-kubernetes-list-type": "map", LIST_KEYS: [*names]}


@dataclass(frozen=True)
class Rule:
    """A CEL rule (`x-kubernetes-validations`) over the object whose class carries it."""

    cel: str
    message: str
    field_path: str | None = None


class Schema(BaseModel):
    """Base of all parts of a TrainingJob: camelCase outside, frozen, unknown fields refused."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, frozen=True, extra="forbid"
    )
    rules: ClassVar[tuple[Rule, ...]] = ()


@dataclass(frozen=True)
class Form:
    """Metadata of a text's type: the form that it has, as `Annotated[str, Form(...)]`.

    Args:
        pattern: RE2, from ^ to $: what the API server's CEL and Python both understand.
        message: What to write, with an example.
        of_many: Whether it is one of thousands, for which CEL costs too much: then the API server
            is given the pattern alone, and a rule elsewhere tells it of the first one.
    """

    pattern: str
    message: str
    of_many: bool = False

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        """The text's own schema, and the form after it."""
        return core_schema.no_info_after_validator_function(self._held, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """The text's own schema, and the form as a rule of the API server's."""
        rule = {"rule": f"self.{self.cel}", "message": self.message}
        held = {"pattern": self.pattern} if self.of_many else {VALIDATIONS: [rule]}
        return {**handler(schema), **held}

    @property
    def cel(self) -> str:
        """The call that holds a text to the form, to be put behind the text and a dot."""
        return f"matches(r'{self.pattern}')"

    def holds(self, text: Any) -> bool:
        """Whether it is a text that has the form."""
        return isinstance(text, str) and re.fullmatch(self.pattern, text) is not None

    def _held(self, text: str) -> str:
        if not self.holds(text):
            raise PydanticCustomError("form", "{message}", {"message": self.message})
        return text
