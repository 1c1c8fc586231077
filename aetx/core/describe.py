"""What a stage is, in words: for its help, for `aetx stages --json`."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypedDict, get_args, get_origin

import annotated_types
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from aetx.core.params import Params, Unit, unit_of
from aetx.core.stage import Stage


@dataclass(frozen=True)
class Parameter:
    """One parameter: its type, default and bounds as a recipe writes them, its unit ('' if none), its meaning."""

    name: str
    type: str
    default: str
    bounds: str
    unit: str
    description: str


class Description(TypedDict):
    """A stage as `aetx stages NAME --json` prints it."""

    name: str
    version: int
    summary: str
    text: str
    takes: dict[str, str]
    gives: str
    flow: str
    resources: list[str]
    parameters: list[dict[str, str]]


def describe(stage: Stage) -> Description:
    """Return everything that help says of a stage."""
    forms = {"one": "{}", "optional": "{}, may be left out", "many": "a list of {}"}
    return {
        "name": stage.name,
        "version": stage.version,
        "summary": stage.summary,
        "text": stage.__doc__.partition("\n")[2].strip(),
        "takes": {name: forms[take.form].format(take.kind.name) for name, take in stage.takes.items()},
        "gives": stage.gives.name,
        "flow": stage.flow,
        "resources": sorted(stage.resources),
        "parameters": [asdict(one) for one in parameters(stage.params)],
    }


def parameters(model: type[Params]) -> list[Parameter]:
    """Return the parameters of a class in their order."""
    return [_parameter(name, info) for name, info in model.model_fields.items()]


def _parameter(name: str, info: FieldInfo) -> Parameter:
    unit = unit_of(info) or ""
    default = "" if info.is_required() else spell(info.get_default(call_default_factory=True), unit)
    words = type_words(info.annotation, tuple(info.metadata))
    return Parameter(name, words, default, bounds(info), unit, info.description or "")


def spell(value: object, unit: str = "") -> str:
    """Return a value as a recipe writes it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return f"{value:g} {unit}" if unit else f"{value:g}" if isinstance(value, float) else str(value)
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(spell(one, unit) for one in value) + "]"
    if isinstance(value, BaseModel):
        return spell(value.model_dump(), unit)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {spell(one, unit)}" for key, one in value.items()) + "}"
    return str(value)


def bounds(info: FieldInfo) -> str:
    """Return the bounds of a parameter as words such as ``> 0, <= 500``; '' where there are none."""
    signs: tuple[tuple[type, str, str], ...] = (
        (annotated_types.Gt, "gt", ">"),
        (annotated_types.Ge, "ge", ">="),
        (annotated_types.Lt, "lt", "<"),
        (annotated_types.Le, "le", "<="),
    )
    found = []
    for mark in info.metadata:
        found += [f"{sign} {getattr(mark, name):g}" for kind, name, sign in signs if isinstance(mark, kind)]
        if isinstance(mark, annotated_types.MultipleOf):
            found.append(f"multiple of {mark.multiple_of:g}")
    return ", ".join(found)


_WORDS: Mapping[Any, str] = {
    float: "number",
    int: "whole number",
    bool: "true or false",
    str: "text",
    type(None): "none",
    Any: "anything",
}


def type_words(annotation: Any, marks: tuple[Any, ...] = ()) -> str:
    """Return a type in words: ``length`` for a float with a unit, ``list of number``, ``fcc | bcc``."""
    if hasattr(annotation, "__metadata__"):
        return type_words(annotation.__origin__, (*marks, *annotation.__metadata__))
    origin, inside = get_origin(annotation), get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        return " | ".join(dict.fromkeys(type_words(one, marks) for one in inside))
    if origin is Literal:
        return " | ".join(map(str, inside))
    if origin is tuple and not (len(inside) == 2 and inside[1] is Ellipsis):
        return "[" + ", ".join(type_words(one) for one in inside) + "]"
    if origin in (tuple, list, set, frozenset) or (isinstance(origin, type) and issubclass(origin, Sequence)):
        return f"list of {type_words(inside[0])}" if inside else "list"
    if origin in (dict, Mapping) or (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
        return "mapping"
    if any(isinstance(mark, Unit) for mark in marks) and annotation is float:
        return "number with unit"
    return _WORDS.get(annotation, getattr(annotation, "__name__", str(annotation)).lower())
