"""What the recipe of all reconstructions finds on the particle that it simulates."""

from __future__ import annotations

from pathlib import Path

import pytest

from aetx.recipe import load
from tests.test_recipes import ROOT, followed

pytestmark = pytest.mark.filterwarnings("ignore::aetx.errors.AetxWarning")


@pytest.mark.slow
def test_every_reconstruction_finds_all_atoms_and_those_with_a_prior_find_them_best(tmp_path: Path) -> None:
    results = followed(load(ROOT / "recipes" / "reconstructions.yaml", output=str(tmp_path / "out")))
    scores = {name.removesuffix("_score"): one for name, one in results.items() if name.endswith("_score")}
    assert len(scores) == 10
    assert all(float(one["tracing_error"]) == 0 for one in scores.values())
    rmsd = {name: float(one["rmsd"]) for name, one in scores.items()}
    assert sorted(rmsd, key=lambda name: rmsd[name])[:2] == ["mbir", "tv"]
    assert rmsd["resire"] < 0.6 * rmsd["wbp"]
    assert float(results["mbir"]["mean_r_free"]) < float(results["resire"]["mean_r_free"])
