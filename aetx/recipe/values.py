"""Values of a recipe to parameters: units by text, files by path, bounds by pydantic, each mistake at its place."""

from __future__ import annotations

import math
import re
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from aetx.core.params import Unit, unit_of
from aetx.errors import did_you_mean
from aetx.model import units
from aetx.recipe.findings import Findings
from aetx.recipe.place import Place
from aetx.recipe.text import Node

Model = TypeVar("Model", bound=BaseModel)
Locate = Callable[[Node, str], Path | None]

_UNIONS = (typing.Union, types.UnionType)
_ITEMS = (list, tuple, set, frozenset, Sequence)


@dataclass(frozen=True)
class Builder:
    """Makes parameters of nodes. `locate` turns the text of a path into a path that exists, or says why not."""

    findings: Findings
    locate: Locate

    def build(self, model: type[Model], node: Node, field: str) -> Model | None:
        """Return the parameters that a mapping states, or None when anything in it is wrong."""
        if node.broken:
            return None
        if node.value is not None and not isinstance(node.value, Mapping):
            self.findings.say(node.place, field, node.found, "a mapping of parameters", "write {name: value}")
            return None
        entries = node.value or {}
        before = len(self.findings.problems)
        values = self._entries(model, entries, field)
        broken = any(_broken(item) for item in entries.values())
        try:
            made = model.model_validate(values, strict=True)
        except ValidationError as error:
            self._report(model, error, entries, node, field)
            return None
        return None if broken or len(self.findings.problems) > before else made

    def _entries(self, model: type[BaseModel], entries: Mapping[str, Node], field: str) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name, item in entries.items():
            where = f"{field}.{name}"
            info = model.model_fields.get(name)
            if info is None:
                fix = did_you_mean(name, model.model_fields)
                self.findings.say(item.key, where, f"the unknown parameter {name!r}", "a known parameter", fix)
            elif not _broken(item):
                try:
                    values[name] = self._value(info.annotation, tuple(info.metadata), item, where)
                except _Noted:
                    continue
        return values

    def _value(self, annotation: Any, marks: tuple[Any, ...], node: Node, where: str) -> Any:
        if hasattr(annotation, "__metadata__"):
            return self._value(annotation.__origin__, (*marks, *annotation.__metadata__), node, where)
        origin, inside = get_origin(annotation), get_args(annotation)
        if origin in _UNIONS:
            return self._arm(inside, marks, node, where)
        unit = next((mark.name for mark in marks if isinstance(mark, Unit)), None)
        if isinstance(node.value, tuple):
            return self._items(origin, inside, node.value, where)
        if isinstance(node.value, Mapping):
            return self._mapping(annotation, inside, node.value, node, where)
        if unit is not None and annotation is float:
            return self._quantity(unit, node, where)
        if annotation is Path and isinstance(node.value, str):
            return self._path(node, where)
        if annotation is str and node.plain and node.value is not None:
            return node.raw
        return node.value

    def _items(self, origin: Any, inside: tuple[Any, ...], items: tuple[Node, ...], where: str) -> Any:
        if origin is tuple and not (len(inside) == 2 and inside[1] is Ellipsis):
            kinds = [*inside, *[Any] * len(items)][: len(items)]
        else:
            kinds = [inside[0] if inside and origin in _ITEMS else Any] * len(items)
        pairs = enumerate(zip(kinds, items, strict=True))
        values = [self._value(kind, (), item, f"{where}[{i}]") for i, (kind, item) in pairs]
        return values if origin is list else origin(values) if origin in (set, frozenset) else tuple(values)

    def _mapping(
        self, annotation: Any, inside: tuple[Any, ...], entries: Mapping[str, Node], node: Node, where: str
    ) -> Any:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            made = self.build(annotation, node, where)
            if made is None:
                raise _Noted
            return made
        kind = inside[1] if len(inside) == 2 else Any
        return {name: self._value(kind, (), item, f"{where}.{name}") for name, item in entries.items()}

    def _arm(self, arms: tuple[Any, ...], marks: tuple[Any, ...], node: Node, where: str) -> Any:
        """Choose the alternative that a value is written for: by its shape, then by whether it starts as a number."""
        if node.value is None and type(None) in arms:
            return None
        arms = tuple(arm for arm in arms if arm is not type(None))
        if len(arms) == 1:
            return self._value(arms[0], marks, node, where)
        fitting = [arm for arm in arms if _fits(arm, node)]
        return self._value(fitting[0], marks, node, where) if fitting else self._value(Any, (), node, where)

    def _quantity(self, unit: str, node: Node, where: str) -> float:
        example = f"'{_example(node.value)} {unit}'"
        if isinstance(node.value, str):
            try:
                return units.quantity(node.value, unit)
            except units.UnitError as error:
                wanted, fix = f"a number with a unit of {unit}", f"{error}; write e.g. {example}"
        else:
            bare = isinstance(node.value, (int, float)) and not isinstance(node.value, bool)
            wanted = "a number with its unit" if bare else f"a number with a unit of {unit}"
            fix = f"write e.g. {example}"
        self.findings.say(node.place, where, node.found, wanted, fix)
        raise _Noted

    def _path(self, node: Node, where: str) -> Path:
        found = self.locate(node, where)
        if found is None:
            raise _Noted
        return found

    def _report(
        self, model: type[BaseModel], error: ValidationError, entries: Mapping[str, Node], node: Node, field: str
    ) -> None:
        """Say what pydantic found; what each alternative of one value wants becomes one message."""
        said: dict[str, tuple[Place, str, list[str], str]] = {}
        for one in error.errors(include_url=False):
            if any(one["loc"][:1] == (name,) and _broken(item) for name, item in entries.items()):
                continue
            where, at = _where(model, one["loc"], node, field)
            place = at.place if at else node.place
            info = model.model_fields.get(str(one["loc"][0])) if one["loc"] else None
            wanted = _wanted(one, info)
            found = _written(entries) if at is node else at.found if at else "nothing"
            said.setdefault(where, (place, found, [], _fix(one, info)))[2].append(wanted)
        for where, (place, found, wanted_ones, fix) in said.items():
            self.findings.say(place, where, found, " or ".join(dict.fromkeys(wanted_ones)), fix)


def _written(entries: Mapping[str, Node]) -> str:
    """Return the parameters of a block, which do not fit together, as they are written."""
    text = ", ".join(f"{name}: {item.raw if item.plain else item.found}" for name, item in entries.items())
    return "nothing" if not text else f"{{{text}}}" if len(text) <= 200 else f"{{{text[:200]}...}}"


class _Noted(Exception):  # noqa: N818 - never leaves this module
    """A value is wrong, and that has been said."""


def _broken(node: Node) -> bool:
    if isinstance(node.value, Mapping):
        return node.broken or any(_broken(item) for item in node.value.values())
    if isinstance(node.value, tuple):
        return node.broken or any(_broken(item) for item in node.value)
    return node.broken


def _where(model: type[BaseModel], loc: tuple[int | str, ...], node: Node, field: str) -> tuple[str, Node | None]:
    """Follow pydantic's location to the value, past the names of a union's alternatives, which are not in the text."""
    where, at = field, node
    for part in loc:
        step = _step(at, part)
        if step is None and part in model.model_fields and at is node:
            return f"{where}.{part}", None
        if step is not None:
            where += f"[{part}]" if isinstance(part, int) else f".{part}"
            at = step
    return where, at


def _step(node: Node, part: str | int) -> Node | None:
    if isinstance(part, int) and isinstance(node.value, tuple) and part < len(node.value):
        return node.value[part]
    if isinstance(part, str) and isinstance(node.value, Mapping):
        return node.value.get(part)
    return None


def _fits(arm: Any, node: Node) -> bool:
    marks = getattr(arm, "__metadata__", ())
    bare = getattr(arm, "__origin__", arm) if marks else arm
    origin = get_origin(bare)
    value = node.value
    if isinstance(value, tuple):
        return origin in _ITEMS
    if isinstance(value, Mapping):
        return origin in (dict, Mapping) or (isinstance(bare, type) and issubclass(bare, BaseModel))
    if origin is Literal:
        return value in get_args(bare)
    unit = any(isinstance(mark, Unit) for mark in marks)
    if isinstance(value, str):
        return value[:1] in "+-.0123456789" if unit else bare in (str, Path)
    if isinstance(value, bool):
        return bare is bool
    return bare in (int, float)


def _example(value: object) -> str:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
        return f"{value:g}"
    return "3"


_KINDS_OF_VALUE = {
    "missing": "a value",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "a text",
    "tuple_type": "a list",
    "list_type": "a list",
    "too_short": "more items",
    "too_long": "fewer items",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "path_type": "a path",
}
_BOUNDS = ("greater_than", "greater_than_equal", "less_than", "less_than_equal")


def _wanted(error: ErrorDetails, info: FieldInfo | None) -> str:
    text = _KINDS_OF_VALUE.get(error["type"], error["msg"])
    for start in ("Input should be ", "Value error, ", "Assertion failed, "):
        text = text.removeprefix(start)
    unit = unit_of(info) if info else None
    return f"{text} {unit}" if unit and error["type"] in _BOUNDS else text


def _fix(error: ErrorDetails, info: FieldInfo | None) -> str:
    if error["type"] == "literal_error" and isinstance(error["input"], str):
        return did_you_mean(error["input"], re.findall(r"'([^']*)'", error["msg"]))
    if info is None:
        return "change one of these values"
    text = info.description or "change the value"
    if info.is_required():
        return text
    default = info.get_default(call_default_factory=False)
    return text if default is None or default == () else f"{text}; the default is {_spelled(default, unit_of(info))}"


def _spelled(value: object, unit: str | None) -> str:
    if isinstance(value, (tuple, list)):
        return "[" + ", ".join(_spelled(item, unit) for item in value) + "]"
    if unit and isinstance(value, (int, float)):
        return f"{value:g} {unit}"
    return repr(value) if isinstance(value, str) else str(value)
