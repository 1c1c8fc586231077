"""The JSON Schemas: equal to the code, true to the loader, and of use to an editor."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import xarray as xr

from aetx.core import Registry
from aetx.errors import RecipeError
from aetx.model import KINDS
from aetx.recipe import load
from aetx.recipe.findings import Findings
from aetx.recipe.schema import kind_schema, recipe_schema, schemas
from aetx.recipe.text import parse, plain_data

ROOT = Path(__file__).parents[2]
RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))
TOY = Path(__file__).parents[1] / "toy"
GOOD = """\
aetx: 1
title: all that the language has
vars: {width: 2 nm, n: 3, areas: 1-2}
inputs:
  s: {path: "P{${vars.areas}}.mrc", angles: [[0, 1, 2]], pixel_size: 0.3 angstrom, axes: [x, y, tilt]}
  more: {path: x.toy, join: tilt}
for_each: s
sweep: {t: [1, 2]}
steps:
  - {name: a, stage: toy.seed, params: {seed: "${sweep.t}"}, keep: true}
  - name: v
    stage: toy.solve
    from: s
    params:
      width: ${vars.width}
      cut: 1e1 Å
      window: ["${vars.width}", 20 nm]
      iterations: "${vars.n}"
      reach: auto
      label: 010
      centre: {x: 1 nm}
  - {name: w, stage: toy.stitch, from: [v, more]}
  - {name: r, stage: toy.refine, from: {atoms: a, series: s}}
export: {a: [extxyz, {cif: {margin: 3 angstrom}}], v: mrc}
report: [a, v]
run: {output: out, memory: 4 GB, scheduler: threads, device: cpu}
"""


@pytest.fixture(scope="module")
def own() -> Any:
    """The schema as it is shipped."""
    return jsonschema.Draft7Validator(recipe_schema(Registry()))


@pytest.fixture(scope="module")
def validator() -> Iterator[Any]:
    """The schema with the toy package."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(TOY))
        schema = recipe_schema(Registry(frozenset({"aetx-toy"})))
        jsonschema.Draft7Validator.check_schema(schema)
        yield jsonschema.Draft7Validator(schema)


def errors(validator: Any, text: str) -> list[str]:
    found = validator.iter_errors(plain_data(parse(text, Findings("r.yaml"))))
    return sorted("/".join(map(str, error.absolute_path)) for error in found)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("P1.mrc", "P2.mrc", "x.toy"):
        (tmp_path / name).touch()
    return tmp_path


def loads(folder: Path, text: str) -> bool:
    (folder / "r.yaml").write_text(text)
    try:
        load(folder / "r.yaml", plugins=frozenset({"aetx-toy"}))
    except RecipeError:
        return False
    return True


def test_the_schemas_in_the_project_are_those_of_the_code() -> None:
    for name, text in schemas(Registry()).items():
        assert (ROOT / "schemas" / name).read_text(encoding="utf-8") == text, f"run 'aetx schemas': {name} is old"
    made = {str(path.relative_to(ROOT / "schemas")) for path in (ROOT / "schemas").rglob("*.json")}
    assert made == set(schemas(Registry()))


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_follows_the_schema_and_names_it(own: Any, recipe: Path) -> None:
    text = recipe.read_text(encoding="utf-8")
    assert text.startswith("# yaml-language-server: $schema=../schemas/recipe.schema.json\n")
    assert errors(own, text) == []


def test_a_recipe_with_all_of_the_language_is_right_for_both(validator: Any, files: Path) -> None:
    assert errors(validator, GOOD) == []
    assert loads(files, GOOD)


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ("aetx: 1\n", "", ""),
        ("aetx: 1\n", "aetx: 2\n", "aetx"),
        ("title:", "titel:", ""),
        ("vars: {width", "vars: {w idth", "vars"),
        ("stage: toy.solve", "stage: toy.slove", "steps/1/stage"),
        ("width: ${vars.width}", "width: 3", "steps/1/params/width"),
        ("width: ${vars.width}", "width: three nm", "steps/1/params/width"),
        ("width: ${vars.width}", "widht: 3 nm", "steps/1/params"),
        ("cut: 1e1 Å", "cut: '7'", "steps/1/params/cut"),
        ('window: ["${vars.width}", 20 nm]', "window: [1, 2]", "steps/1/params/window"),
        ("reach: auto", "reach: never", "steps/1/params/reach"),
        ('iterations: "${vars.n}"', "iterations: 0", "steps/1/params/iterations"),
        ('iterations: "${vars.n}"', "iterations: 1.5", "steps/1/params/iterations"),
        ("centre: {x: 1 nm}", "centre: {z: 1 nm}", "steps/1/params/centre"),
        ('seed: "${sweep.t}"', "seed: -1", "steps/0/params/seed"),
        ("keep: true", "keep: NO", "steps/0/keep"),
        ("from: {atoms: a, series: s}", "from: a", "steps/3/from"),
        ("from: {atoms: a, series: s}", "from: {atoms: a, serie: s}", "steps/3/from"),
        ("pixel_size: 0.3 angstrom", "pixel_size: 0.3", "inputs/s"),
        ("pixel_size: 0.3", "pixelsize: 0.3", "inputs/s"),
        ("extxyz, {cif", "extxy, {cif", "export/a"),
        ("margin: 3 angstrom", "margin: 3", "export/a"),
        ("sweep: {t: [1, 2]}", "sweep: {t: 1}", "sweep/t"),
        ("memory: 4 GB", "memory: lots", "run/memory"),
        ("device: cpu", "devise: cpu", "run"),
    ],
)
def test_a_mistake_is_wrong_for_the_schema_and_for_the_loader(
    validator: Any, files: Path, old: str, new: str, place: str
) -> None:
    assert old in GOOD
    text = GOOD.replace(old, new)
    assert errors(validator, text) == [place]
    assert not loads(files, text)


def test_an_editor_is_offered_the_parameters_of_the_named_stage_only(validator: Any) -> None:
    schema = validator.schema
    assert "toy.solve" in schema["properties"]["steps"]["items"]["properties"]["stage"]["enum"]
    width = schema["definitions"]["toy.solve"]["properties"]["width"]
    assert width["default"] == "2 angstrom"
    assert width["description"] == "width of the filter"
    assert set(schema["definitions"]["toy.seed"]["properties"]) == {"seed"}
    cases = schema["properties"]["steps"]["items"]["allOf"]
    (case,) = [one for one in cases if one["if"]["properties"]["stage"]["const"] == "toy.seed"]
    assert case["then"]["properties"]["params"] == {"$ref": "#/definitions/toy.seed"}


def metadata(dataset: xr.Dataset) -> dict[str, Any]:
    variables = {
        str(name): {"dims": list(one.dims), "dtype": str(one.dtype), "attrs": dict(one.attrs)}
        for name, one in dataset.variables.items()
    }
    return {"attrs": dict(dataset.attrs), "variables": variables}


def test_the_schema_of_a_kind_accepts_its_datasets_and_no_others(small_volume: xr.Dataset) -> None:
    validator = jsonschema.Draft7Validator(kind_schema(KINDS["volume"]))
    good = json.loads(json.dumps(metadata(KINDS["volume"].stamp(small_volume))))
    assert list(validator.iter_errors(good)) == []
    for break_it in (
        lambda one: one["attrs"].pop("aetx_schema"),
        lambda one: one["variables"].pop("density"),
        lambda one: one["variables"]["density"]["dims"].reverse(),
        lambda one: one["variables"]["density"].update(dtype="complex64"),
        lambda one: one["variables"]["density"]["attrs"].pop("units"),
        lambda one: one["variables"]["z"]["attrs"].update(units="nm"),
    ):
        bad = copy.deepcopy(good)
        break_it(bad)
        assert len(list(validator.iter_errors(bad))) == 1


def test_every_kind_has_a_schema_that_is_one() -> None:
    for name, kind in KINDS.items():
        schema = kind_schema(kind)
        jsonschema.Draft7Validator.check_schema(schema)
        assert schema["properties"]["attrs"]["properties"]["aetx_schema"]["const"] == f"{name}/1"
