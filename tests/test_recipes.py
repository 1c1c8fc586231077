"""Every recipe that people copy can be planned, and names what they will look for."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pytest
import xarray as xr
from ruamel.yaml import YAML
from scipy.spatial import KDTree

from aetx.io import open_input
from aetx.model import ATOMS, FILE
from aetx.recipe import Plan, load
from aetx.stages.simulate.acquisition import acquisition
from aetx.stages.simulate.images import images
from aetx.stages.simulate.particle import particle

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
    jsonschema.Draft7Validator(schema).validate(YAML(typ="safe").load(path.read_text(encoding="utf-8")))


def test_the_first_recipe_of_the_readme_can_be_planned(tmp_path: Path) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (tmp_path / "pt.yaml").write_text(text.partition("```yaml\n")[2].partition("```")[0], encoding="utf-8")
    for name in ("pt.mrc", "pt.rawtlt"):
        (tmp_path / name).touch()
    plan = load(tmp_path / "pt.yaml", output=str(tmp_path / "out"))
    assert plan.jobs[0].step("atoms").stage.gives is ATOMS


def test_areas_of_the_film_are_named_by_their_numbers(tmp_path: Path) -> None:
    plan = planned(ROOT / "recipes" / "ta_film.yaml", tmp_path)
    inputs = {one.name: one for one in plan.jobs[0].inputs}
    assert list(inputs) == [f"area/{number}" for number in range(20, 25)]
    assert plan.jobs[0].step("film").sources["tiles"] == tuple(f"tile/{number}" for number in range(20, 25))


def followed(plan: Plan) -> dict[str, xr.Dataset]:
    """Follow a plan without its exports, in memory."""
    job = plan.jobs[0]
    results = {one.name: open_input(one.paths, kind=one.kind, stated=one.stated) for one in job.inputs}
    for step in job.steps:
        if step.stage.gives is not FILE:
            given: list[Any] = []
            for name, take in step.stage.takes.items():
                found = tuple(results[source] for source in step.sources.get(name) or ())
                given.append(found if take.form == "many" else found[0] if found else None)
            results[step.name] = step.stage(*given, params=step.params).load()
    return results


def one_to_one(truth: xr.Dataset, atoms: xr.Dataset) -> float:
    """Return the root mean square distance in angstrom; fail unless each atom has exactly one partner."""
    true, found = (one["position"].sel(axis=["x", "y", "z"]).values for one in (truth, atoms))
    distance, nearest = KDTree(true).query(found)
    assert sorted(np.asarray(nearest)) == list(range(len(true)))
    return float(np.sqrt(np.mean(np.asarray(distance) ** 2)))


@pytest.mark.filterwarnings("ignore::aetx.errors.AetxWarning")
def test_the_quickstart_finds_every_atom(tmp_path: Path) -> None:
    results = followed(planned(ROOT / "recipes" / "quickstart.yaml", tmp_path))
    assert 300 <= results["truth"].sizes["atom"] <= 500
    assert one_to_one(results["truth"], results["atoms"]) < 0.075
    assert (results["atoms"]["species"] == 78).all()


@pytest.mark.filterwarnings("ignore::aetx.errors.AetxWarning")
def test_the_nanoparticle_is_refined_to_its_limit_with_error_bars_that_hold(tmp_path: Path) -> None:
    results = followed(planned(ROOT / "recipes" / "pt_nanoparticle.yaml", tmp_path))
    truth, atoms, score = results["truth"], results["atoms"], results["score"]
    assert (int(score["missed"]), int(score["false"])) == (0, 0)
    assert float(score["rmsd"]) < 1.15 * float(results["limit"]["bound"])
    assert one_to_one(truth, atoms) > float(score["rmsd"])
    pull = score["residual"].values / atoms["sigma"].sel(atom=score["found_atom"].values).values
    assert 0.8 < np.sqrt(np.mean(pull**2)) < 1.2
    assert 0.9 < float(results["residual"]["chi_square"].mean()) < 1.1
    off = np.abs(results["series"]["true_theta"].values - results["series"]["theta"].values)
    left = np.abs(results["series"]["true_theta"].values - atoms["theta"].values)
    assert np.median(left) < 0.5 * np.median(off)


@pytest.mark.filterwarnings("ignore::aetx.errors.AetxWarning")
def test_a_series_of_ones_own_gives_its_atoms_and_not_their_mirror_image(tmp_path: Path) -> None:
    truth = particle(smallest=14.0, largest=16.0, seed=2)
    expected = images(truth, pixels=80, first=-70.0, last=70.0, tilt_error=0.4, profile="kirkland")
    series = acquisition(expected, background=0.001, dose=20_000.0)
    with mrcfile.new(tmp_path / "mine.mrc") as file:
        file.set_data(series["image"].values)
        file.set_image_stack()
    np.savetxt(tmp_path / "mine.rawtlt", series["theta"].values)
    sets = {
        "images": str(tmp_path / "mine.mrc"),
        "angles": str(tmp_path / "mine.rawtlt"),
        "pixel_size": "0.358 angstrom",
        "element": "Pt",
    }
    plan = load(ROOT / "recipes" / "particle.yaml", sets=sets, output=str(tmp_path / "out"))
    assert one_to_one(truth, followed(plan)["atoms"]) < 0.06
