"""JSON Schemas made from the code: of recipes, for editors to check and complete; of every kind of dataset."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from aetx.core import Registry, Stage
from aetx.core.describe import spell
from aetx.io.stated import Stated
from aetx.model import KINDS, Kind
from aetx.model.kinds import DTYPES
from aetx.recipe.inputs import OWN
from aetx.recipe.plan import Slurm
from aetx.recipe.recipe import KEYS
from aetx.recipe.steps import KEYS as STEP_KEYS
from aetx.recipe.steps import NAME

Schema = dict[str, Any]

DRAFT = "http://json-schema.org/draft-07/schema#"
REFERENCE: Schema = {"type": "string", "pattern": r"\$\{[^{}]+\}", "description": "a reference such as ${vars.x}"}
QUANTITY = r"^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?(\s*|\s+1\s*/\s*)[^\s\d.+-].*$|\$\{[^{}]+\}"
NAMES: Schema = {"pattern": f"^{NAME.pattern}$"}


def schemas(registry: Registry) -> dict[str, str]:
    """Return every schema as text, by the name of its file below ``schemas/``."""
    found = {"recipe.schema.json": recipe_schema(registry)}
    found |= {f"kinds/{name}.schema.json": kind_schema(kind) for name, kind in KINDS.items()}
    return {name: json.dumps(schema, indent=1, ensure_ascii=False) + "\n" for name, schema in found.items()}


def recipe_schema(registry: Registry) -> Schema:
    """Return the schema of recipes that use the stages and readers of a registry."""
    stages = [registry.stage(name) for name in registry.stage_names()]
    definitions: dict[str, Schema] = {}
    properties: dict[str, Schema] = {
        "aetx": {"const": 1, "description": "version of the recipe language"},
        "title": {"type": "string", "description": "one line that says what the recipe does"},
        "vars": _names({}, "values to refer to as ${vars.name} and to replace with --set name=..."),
        "inputs": _names(_input(registry, definitions), "files to read, by name"),
        "for_each": {"type": "string", "description": "the input over whose files the recipe runs, one run for each"},
        "sweep": _names(
            _or_reference({"type": "array", "minItems": 1}), "values to try: ${sweep.name}, a run for each"
        ),
        "steps": {
            "type": "array",
            "minItems": 1,
            "items": _step(stages, definitions),
            "description": "what is done, in this order",
        },
        "export": _names(_export(stages, definitions), "files to write: formats by the name of a step"),
        "report": {
            "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
            "description": "the steps and inputs that the report shows; all steps if left out",
        },
        "run": _run(definitions),
    }
    return {
        "$schema": DRAFT,
        "title": "aetx recipe",
        "type": "object",
        "properties": {key: properties[key] for key in KEYS},
        "required": ["aetx", "steps"],
        "additionalProperties": False,
        "definitions": dict(sorted(definitions.items())),
    }


def _names(values: Schema, description: str) -> Schema:
    found: Schema = {"type": ["object", "null"], "propertyNames": NAMES, "description": description}
    return found | ({"additionalProperties": values} if values else {})


def _or_reference(schema: Schema) -> Schema:
    if schema.get("pattern") == QUANTITY:  # admits references itself
        return schema
    choices = schema["anyOf"] if set(schema) == {"anyOf"} else [schema]
    return {"anyOf": [*choices, REFERENCE]}


def _input(registry: Registry, definitions: dict[str, Schema]) -> Schema:
    stated = _parameters(Stated, "input", definitions)
    path: Schema = {
        "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}],
        "description": "the file, from the recipe's folder; {20-24}, {a,b} and * stand for several",
    }
    own: dict[str, Schema] = {
        "path": path,
        "kind": _or_reference({"enum": list(KINDS)}) | {"description": "kind of dataset, where the file does not tell"},
        "reader": _or_reference({"enum": registry.reader_names()})
        | {"description": "how to read it, where the name of the file does not tell"},
        "join": {"const": "tilt", "description": "make one series of many files"},
    }
    block = stated | {"properties": {key: own[key] for key in OWN} | stated["properties"], "required": ["path"]}
    return {"anyOf": [{"type": "string"}, block]}


def _step(stages: list[Stage], definitions: dict[str, Schema]) -> Schema:
    own: dict[str, Schema] = {
        "name": {"type": "string", **NAMES, "description": "name of the result"},
        "stage": {
            "enum": [stage.name for stage in stages],
            "enumDescriptions": [stage.summary for stage in stages],
            "description": "what to do: room.name",
        },
        "from": {"description": "the inputs or earlier steps that it takes"},
        "params": {"type": ["object", "null"], "description": "parameters of the stage"},
        "keep": {
            "type": "boolean",
            "default": False,
            "description": "store the result even if nothing needs it stored",
        },
    }
    return {
        "type": "object",
        "properties": {key: own[key] for key in STEP_KEYS},
        "required": ["name", "stage"],
        "additionalProperties": False,
        "allOf": [_case(stage, definitions) for stage in stages],
    }


def _case(stage: Stage, definitions: dict[str, Schema]) -> Schema:
    """Return the ``if/then`` that ties the parameters and inputs of one stage to its name."""
    definitions[stage.name] = _parameters(stage.params, stage.name, definitions)
    then: Schema = {"properties": {"params": {"$ref": f"#/definitions/{stage.name}"}}}
    needed = [name for name, take in stage.takes.items() if take.form != "optional"]
    if stage.takes:
        then["properties"]["from"] = _from(stage, needed)
        then |= {"required": ["from"]} if needed else {}
    else:
        then["properties"]["from"] = False
    return {"if": {"properties": {"stage": {"const": stage.name}}, "required": ["stage"]}, "then": then}


def _from(stage: Stage, needed: list[str]) -> Schema:
    one: Schema = {"type": "string"}
    several: Schema = {"anyOf": [one, {"type": "array", "items": one, "minItems": 1}]}
    forms = {name: several if take.form == "many" else one for name, take in stage.takes.items()}
    words = {name: f"{take.kind.name}, {take.form}" for name, take in stage.takes.items()}
    mapping = {
        "type": "object",
        "properties": {name: form | {"description": words[name]} for name, form in forms.items()},
        "required": needed,
        "additionalProperties": False,
    }
    first = next(iter(stage.takes))
    short = [] if set(needed) - {first} else [forms[first]]
    return {"anyOf": [*short, mapping], "description": "takes " + "; ".join(f"{k}: {v}" for k, v in words.items())}


def _export(stages: list[Stage], definitions: dict[str, Schema]) -> Schema:
    formats = {stage.name.partition(".")[2]: stage for stage in stages if stage.name.startswith("export.")}
    with_params: Schema = {
        "type": "object",
        "properties": {name: {"$ref": f"#/definitions/{stage.name}"} for name, stage in formats.items()},
        "additionalProperties": False,
        "minProperties": 1,
        "maxProperties": 1,
    }
    assert all(stage.name in definitions for stage in formats.values())
    one = {"anyOf": [{"enum": list(formats)}, with_params]}
    return {"anyOf": [*one["anyOf"], {"type": "array", "items": one}]}


def _run(definitions: dict[str, Schema]) -> Schema:
    texts = {
        "output": "folder for the results, below the current one",
        "memory": "most memory that a run may take, such as 4GB or 500 MiB",
        "scheduler": "threads, local, slurm, or tcp://host:port",
        "device": "cpu, cuda or cuda:1",
        "worker-timeout": "for how long a run waits for workers that are lost or yet to come: 90 s, 5 min, 2 h",
    }
    patterns = {"memory": r"^\s*\d+(\.\d+)?\s*[KMGTkmgt]?[Ii]?[Bb]\s*$|\$\{[^{}]+\}"}
    return {
        "type": ["object", "null"],
        "properties": {
            name: {"type": "string", "description": text} | ({"pattern": patterns[name]} if name in patterns else {})
            for name, text in texts.items()
        }
        | {"slurm": _parameters(Slurm, "slurm", definitions)},
        "additionalProperties": False,
        "description": "how to run; the command line wins",
    }


def _parameters(model: type[BaseModel], prefix: str, definitions: dict[str, Schema]) -> Schema:
    """Return the schema of a parameter class as a recipe writes it: quantities as text, references everywhere."""
    made = model.model_json_schema(
        mode="validation", ref_template=f"#/definitions/{prefix}.{{model}}", schema_generator=_Generator
    )
    for name, inner in made.pop("$defs", {}).items():
        definitions[f"{prefix}.{name}"] = _block(inner)
    return _block(made)


def _block(made: Schema) -> Schema:
    made.pop("title", None)
    made["description"] = made.get("description", "").partition("\n")[0]
    made["properties"] = {name: _property(one) for name, one in made.get("properties", {}).items()}
    return made | {"type": ["object", "null"]}


class _Generator(GenerateJsonSchema):
    """Leaves defaults as they are, however they would be validated."""

    def encode_default(self, dft: Any) -> Any:
        return spell(dft) if isinstance(dft, BaseModel) else super().encode_default(dft)


def _property(made: Schema) -> Schema:
    kept = {key: made.pop(key) for key in ("description", "default") if key in made}
    unit = _unit_in(made)
    if unit and kept.get("default") is not None:
        kept["default"] = json.loads(json.dumps(kept["default"]), parse_int=float)
        kept["default"] = _with_unit(kept["default"], unit)
    return _or_reference(_value(made)) | kept


def _value(made: Schema) -> Schema:
    made = {key: value for key, value in made.items() if key != "title"}
    if "x-unit" in made:
        unit = made["x-unit"]
        advice = f"write a number with its unit, e.g. '3 {unit}'"
        words = f"a number with a unit of {unit}"
        return {"type": "string", "pattern": QUANTITY, "patternErrorMessage": advice, "description": words}
    if "prefixItems" in made:  # draft 7 calls it items
        made["items"] = made.pop("prefixItems")
    for key in ("anyOf", "oneOf", "allOf"):
        if key in made:
            made[key] = [_value(one) for one in made[key]]
    if isinstance(made.get("items"), list):
        made["items"] = [_or_reference(_value(one)) for one in made["items"]]
    elif "items" in made:
        made["items"] = _or_reference(_value(made["items"]))
    if isinstance(made.get("additionalProperties"), Mapping):
        made["additionalProperties"] = _or_reference(_value(made["additionalProperties"]))
    if made.get("type") == "string" and not {"pattern", "enum", "const"} & set(made):
        made = {**made, "type": ["string", "number", "boolean"]}  # an unquoted 78 is the text 78
    return made


def _unit_in(made: Any) -> str | None:
    if isinstance(made, Mapping):
        if "x-unit" in made:
            return str(made["x-unit"])
        return next(filter(None, map(_unit_in, made.values())), None)
    if isinstance(made, list):
        return next(filter(None, map(_unit_in, made)), None)
    return None


def _with_unit(value: Any, unit: str) -> Any:
    if isinstance(value, list):
        return [_with_unit(one, unit) for one in value]
    if isinstance(value, Mapping):
        return {key: _with_unit(one, unit) for key, one in value.items()}
    return spell(value, unit)


def kind_schema(kind: Kind) -> Schema:
    """Return the schema of the metadata of a dataset: ``{"attrs": ..., "variables": {name: {dims, dtype, attrs}}}``."""
    letters = {"f": r"float\d+", "i": r"int\d+", "u": r"uint\d+", "b": "bool", "U": r"<?U\d*|str", "T": "StringDType.*"}
    variables: dict[str, Schema] = {}
    for name, var in kind.variables.items():
        family = DTYPES.get(var.dtype)
        pattern = "|".join(letters.get(one, "object|complex.*") for one in family) if family else var.dtype
        units: Schema = {"enum": list(var.units)} if var.units else {"type": "string", "minLength": 1}
        attrs: Schema = {"type": "object", "properties": {"units": units}, "required": ["units"]}
        variables[name] = {
            "type": "object",
            "description": var.meaning,
            "properties": {"dims": {"const": list(var.dims)}, "dtype": {"type": "string", "pattern": f"^({pattern})$"}}
            | ({} if var.dtype == "text" else {"attrs": attrs}),
            "required": ["dims", "dtype"] if var.dtype == "text" else ["dims", "dtype", "attrs"],
        }
    return {
        "$schema": DRAFT,
        "title": kind.schema,
        "description": f"metadata of a {kind.name.replace('_', ' ')}; even axes: {', '.join(kind.grid) or 'none'}",
        "type": "object",
        "properties": {
            "attrs": {
                "type": "object",
                "properties": {"aetx_schema": {"const": kind.schema}},
                "required": ["aetx_schema"],
            },
            "variables": {
                "type": "object",
                "properties": variables,
                "required": [name for name, var in kind.variables.items() if var.required],
            },
        },
        "required": ["attrs", "variables"],
    }
