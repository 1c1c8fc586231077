"""Values of a recipe to parameters: units by text, files by path, bounds by pydantic, each mistake at its place."""

from __future__ import annotations

import json
import math
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
from aetx.recipe.text import Node, plain_data

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
            made = model.model_validate_json(json.dumps(values), strict=True)
        except ValidationError as error:
            for one in error.errors(include_url=False):
                self._report(model, one, entries, node, field)
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
            return self._mapping(annotation, inside, node.value, where)
        if unit is not None and annotation is float:
            return self._quantity(unit, node, where)
        if annotation is Path and isinstance(node.value, str):
            return str(self._path(node, where))
        if annotation is str and node.plain and node.value is not None:
            return node.raw
        return node.value

    def _items(self, origin: Any, inside: tuple[Any, ...], items: tuple[Node, ...], where: str) -> list[Any]:
        if origin not in _ITEMS and not (isinstance(origin, type) and issubclass(origin, Sequence)):
            return [plain_data(item) for item in items]
        if origin is tuple and not (len(inside) == 2 and inside[1] is Ellipsis):
            kinds = [*inside, *[Any] * len(items)][: len(items)]
        else:
            kinds = [inside[0] if inside else Any] * len(items)
        pairs = enumerate(zip(kinds, items, strict=True))
        return [self._value(kind, (), item, f"{where}[{i}]") for i, (kind, item) in pairs]

    def _mapping(self, annotation: Any, inside: tuple[Any, ...], entries: Mapping[str, Node], where: str) -> Any:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            return self._entries(annotation, entries, where)
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
        return self._value(fitting[0], marks, node, where) if fitting else plain_data(node)

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
        self, model: type[BaseModel], error: ErrorDetails, entries: Mapping[str, Node], node: Node, field: str
    ) -> None:
        if any(error["loc"][:1] == (name,) and _broken(item) for name, item in entries.items()):
            return
        where, place, found = field, node.place, node.found
        at: Node | None = node
        for part in error["loc"]:
            step = _step(at, part)
            if step is None and not (isinstance(part, str) and part in _names(model)):
                continue  # the tag of a union's alternative
            where += f"[{part}]" if isinstance(part, int) else f".{part}"
            at = step
            if step is not None:
                place, found = step.place, step.found
        if at is None:
            found = "nothing"
        info = model.model_fields.get(str(error["loc"][0])) if error["loc"] else None
        self.findings.say(place, where, found, _wanted(error, info), _fix(info))


class _Noted(Exception):  # noqa: N818
    """A value is wrong, and that has been said."""


def _broken(node: Node) -> bool:
    if isinstance(node.value, Mapping):
        return node.broken or any(_broken(item) for item in node.value.values())
    if isinstance(node.value, tuple):
        return node.broken or any(_broken(item) for item in node.value)
    return node.broken


def _names(model: type[BaseModel]) -> frozenset[str]:
    return frozenset(model.model_fields)


def _step(node: Node | None, part: str | int) -> Node | None:
    if node is None:
        return None
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


def _wanted(error: ErrorDetails, info: FieldInfo | None) -> str:
    if error["type"] == "missing":
        return "a value"
    text = error["msg"]
    for start in ("Input should be ", "Value error, ", "Assertion failed, "):
        text = text.removeprefix(start)
    unit = unit_of(info) if info else None
    bounded = error["type"] in ("greater_than", "greater_than_equal", "less_than", "less_than_equal")
    return f"{text} {unit}" if unit and bounded else text


def _fix(info: FieldInfo | None) -> str:
    if info is None:
        return "change one of the values"
    text = f"it is the {info.description}" if info.description else "change the value"
    if info.is_required():
        return text
    default = info.get_default(call_default_factory=False)
    return text if default is None else f"{text}; leave it out for {_spelled(default, unit_of(info))}"


def _spelled(value: object, unit: str | None) -> str:
    if unit and isinstance(value, (int, float)):
        return f"{value:g} {unit}"
    return repr(value) if isinstance(value, str) else str(value)
