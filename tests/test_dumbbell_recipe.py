"""What the recipe of the dumbbell finds in its images: the numbers of the publication, where they were planted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial import KDTree

from aetx.recipe import load
from tests.test_recipes import ROOT, followed

pytestmark = pytest.mark.filterwarnings("ignore::aetx.errors.AetxWarning")

FCC, HCP = np.array([0.190941, 0.574524]), np.array([0.097222, 0.484762])


@pytest.mark.slow
def test_images_of_the_dumbbell_lead_to_its_double_twin_its_layers_and_its_twist(tmp_path: Path) -> None:
    results = followed(load(ROOT / "recipes" / "dumbbell.yaml", output=str(tmp_path / "out")))
    truth, found = results["truth"], results["layers"]
    assert float(results["score"]["tracing_error"]) < 0.003
    assert float(results["score"]["rmsd"]) < 0.099, "the published precision, 9.9 pm"
    assert found.sizes["grain_id"] == 3
    assert (found["grain"] >= 0).mean() > 0.99
    assert found.sizes["plane"] == 2
    assert float(found["twist"][0, 1]) == pytest.approx(1.59, abs=0.1)

    away, nearest = KDTree(truth["position"].values).query(found["position"].values)
    layer = truth["layer"].values[nearest]
    middle = int(np.median(found["layer"].values[layer == 0]))
    same = found["layer"].values - middle == layer
    assert same[away < 1.0].mean() > 0.995
    assert found.attrs["stacking"] == "ABCABCABCABCACBCABCABCABCAB", "ABC, and a single layer turned about"
    hcp = np.flatnonzero(found["layer_stacking"].values == 2)
    assert hcp.tolist() == [middle - 1, middle + 1]
    core = found["layer_rmsd_core"].values
    assert core[middle - 1 : middle + 2].min() > np.nanmax(np.delete(core, range(middle - 1, middle + 2)))

    order = np.stack([found["q4_mean"].values, found["q6_mean"].values], axis=1)
    twins = np.linalg.norm(order[np.abs(layer) == 1] - HCP, axis=1).mean()
    interface, others = (np.linalg.norm(order[part] - FCC, axis=1).mean() for part in (layer == 0, np.abs(layer) > 1))
    assert others < twins < interface
