"""Every recipe that people copy can be planned, and names what they will look for."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from ruamel.yaml import YAML
from scipy.spatial import KDTree

from aetx.model import ATOMS
from aetx.recipe import Plan, load

ROOT = Path(__file__).parents[1]
RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))
DATA = Path(os.environ.get("AETX_DATA", ROOT.parent / "shared" / "data"))


def planned(path: Path, folder: Path) -> Plan:
    """Plan a recipe with values for what it leaves open; skip where published data are not at hand."""
    sets = {}
    variables = YAML(typ="safe").load(path.read_text(encoding="utf-8")).get("vars") or {}
    if "folder" in variables:
        here = DATA / Path(variables["folder"]).name
        if not here.exists():
            pytest.skip(f"{here} is not there: set AETX_DATA to the folder of the published data")
        sets["folder"] = str(here)
    for name, suffix in (("images", "mrc"), ("angles", "rawtlt")):
        if name in variables:
            (folder / f"series.{suffix}").touch()
            sets[name] = str(folder / f"series.{suffix}")
    if variables.get("pixel_size", "") is None:
        sets["pixel_size"] = "0.358 angstrom"
    return load(path, sets=sets, output=str(folder / "out"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_can_be_planned_and_its_atoms_are_called_atoms(path: Path, tmp_path: Path) -> None:
    for job in planned(path, tmp_path).jobs:
        assert job.step("atoms").stage.gives is ATOMS
        assert "atoms.extxyz" in [step.name for step in job.steps]
        assert "atoms" in job.report


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_names_its_schema_and_the_frame_of_its_positions(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.splitlines()[0] == "# yaml-language-server: $schema=../schemas/recipe.schema.json"
    title = next(line for line in text.splitlines() if line.startswith("title:"))
    assert "positions in the" in title
    assert "frame" in title


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_agrees_with_the_schema_that_editors_use(path: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads((ROOT / "schemas" / "recipe.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(YAML(typ="safe").load(path.read_text(encoding="utf-8")))


def test_areas_of_the_film_are_named_by_their_numbers(tmp_path: Path) -> None:
    plan = planned(ROOT / "recipes" / "ta_film.yaml", tmp_path)
    inputs = {one.name: one for one in plan.jobs[0].inputs}
    assert list(inputs) == [f"area/{number}" for number in range(20, 25)]
    assert plan.jobs[0].step("film").sources["tiles"] == tuple(f"tile/{number}" for number in range(20, 25))


@pytest.mark.filterwarnings("ignore::aetx.errors.AetxWarning")
def test_the_quickstart_finds_every_atom(tmp_path: Path) -> None:
    results: dict[str, xr.Dataset] = {}
    for step in planned(ROOT / "recipes" / "quickstart.yaml", tmp_path).jobs[0].steps:
        given: list[Any] = [
            results[step.sources[take][0]] if take in step.sources else None for take in step.stage.takes
        ]
        results[step.name] = step.stage(*given, params=step.params)
    truth, atoms = (results[name]["position"].sel(axis=["x", "y", "z"]).values for name in ("truth", "atoms"))
    assert 300 <= len(truth) <= 500
    distance, nearest = KDTree(truth).query(atoms)
    assert sorted(np.asarray(nearest)) == list(range(len(truth))), "one to one"
    assert np.sqrt(np.mean(np.asarray(distance) ** 2)) < 0.075
