"""Lua as Argo CD runs it: with base, table and a safe os, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lupa import lua51

_SANDBOX = """
debug.getmetatable("").__index = nil
os = {time = os.time, clock = os.clock, difftime = os.difftime, date = os.date}
package.loaded.os = os
string, math, io, coroutine, debug, python, dofile, loadfile = nil
for _, gone in ipairs({"string", "math", "io", "coroutine", "debug", "python"}) do
  package.loaded[gone] = nil
end
"""


def answer(script: str, obj: Mapping[str, Any], **parameters: str) -> Any:
    """What a script returns for an object, as JSON has it: an empty table is an empty list.

    Raises:
        lupa.lua51.LuaError: It failed.
    """
    lua = lua51.LuaRuntime(register_eval=False, register_builtins=False)
    lua.execute(_SANDBOX)
    given = lua.globals()
    given.obj = _to_lua(lua, obj)
    given.actionParams = _to_lua(lua, parameters)
    return _from_lua(lua.execute(script))


def _to_lua(lua: Any, value: Any) -> Any:
    if isinstance(value, Mapping):
        return lua.table_from({key: _to_lua(lua, each) for key, each in value.items()})
    if isinstance(value, list):
        return lua.table_from([_to_lua(lua, each) for each in value])
    return value


def _from_lua(value: Any) -> Any:
    if lua51.lua_type(value) != "table":
        return value
    keys = list(value.keys())
    if keys == list(range(1, len(keys) + 1)):
        return [_from_lua(value[key]) for key in keys]
    return {key: _from_lua(value[key]) for key in keys}


def cleaned(new: Any, old: Any) -> Any:
    """A changed object as Argo CD patches with it: what was an empty object is one again."""
    if isinstance(old, dict):
        if new == []:
            return {}
        return {key: cleaned(each, old.get(key)) for key, each in new.items()}
    if isinstance(old, list) and isinstance(new, list):
        return [cleaned(a, b) for a, b in zip(new, old, strict=False)] + new[len(old) :]
    return new
