"""Local structure of a defective particle is what other programs say.

The particle has 388 atoms, five twins, vacancies and noise; freud 3.4.0, OVITO 3.17.2 and pyscal3 4.1.0 have answered
by ``tests.benchmarks.peers_structure --record``.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from aetx.core.atoms import atoms_dataset
from aetx.stages.structure.bond_order import bond_order
from aetx.stages.structure.cna import cna
from aetx.stages.structure.ptm import ptm
from aetx.stages.structure.voronoi import voronoi

TOLD = json.loads((Path(__file__).parents[1] / "golden" / "structure_peers.json").read_text(encoding="utf-8"))


def particle() -> xr.Dataset:
    return atoms_dataset(np.array(TOLD["position"]), 78)


def answer(key: str) -> np.ndarray:
    return np.array(TOLD["answers"][key])


@pytest.mark.parametrize(("peer", "tolerance"), [("pyscal3", 1e-7), ("freud", 5e-6)])
@pytest.mark.parametrize("name", ["q4", "q6", "q4_mean", "q6_mean"])
def test_bond_order_is_that_of_freud_and_pyscal(name: str, peer: str, tolerance: float) -> None:
    found = bond_order(particle(), cutoff=TOLD["cutoff"])
    np.testing.assert_allclose(found[name], answer(f"{peer} {name}"), rtol=0, atol=tolerance)


@pytest.mark.parametrize("name", ["w4", "w6"])
def test_third_order_is_that_of_freud(name: str) -> None:
    found = bond_order(particle(), cutoff=TOLD["cutoff"])
    np.testing.assert_allclose(found[name], answer(f"freud {name}"), rtol=0, atol=1e-5)


def test_common_neighbours_are_those_of_ovito() -> None:
    fixed = cna(particle(), method="fixed", cutoff=TOLD["cutoff"])["structure"]
    np.testing.assert_array_equal(fixed, answer("OVITO cna"))
    assert len(np.unique(fixed)) == 3
    np.testing.assert_array_equal(cna(particle())["structure"], answer("OVITO acna"))


def test_templates_and_their_deviations_are_those_of_ovito() -> None:
    found = ptm(particle())
    np.testing.assert_array_equal(found["structure"], answer("OVITO ptm"))
    here = found["structure"].values > 0
    rmsd = found["rmsd"].values[here]
    np.testing.assert_allclose(rmsd, answer("OVITO rmsd")[here], rtol=1e-7)
    longer = answer("OVITO distance")[here] / found["bond_length"].values[here] - 1
    np.testing.assert_allclose(longer, rmsd**2, atol=0.25 * float((rmsd**2).max()))
    assert float(np.mean(longer / rmsd**2)) == pytest.approx(1.0, abs=0.25)


def test_closed_cells_are_those_of_ovito() -> None:
    found = voronoi(particle(), least=0.0)
    closed = np.isfinite(found["voronoi_volume"].values)
    assert closed.sum() > 100
    np.testing.assert_allclose(found["voronoi_volume"].values[closed], answer("OVITO volume")[closed], rtol=1e-7)
    np.testing.assert_array_equal(found["voronoi_faces"].values[closed], answer("OVITO faces")[closed])
