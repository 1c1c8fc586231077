"""Pictures of local structure say what the numbers say."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from aetx.draw.by_kind import draw
from aetx.draw.structure import structure
from aetx.stages.simulate.decahedron import decahedron
from aetx.stages.structure.bond_order import bond_order
from aetx.stages.structure.cna import cna
from aetx.stages.structure.coordination import coordination
from aetx.stages.structure.voronoi import voronoi


@pytest.fixture(scope="module")
def particle() -> xr.Dataset:
    return decahedron(atoms=500)


def test_every_measure_has_its_picture(particle: xr.Dataset) -> None:
    made = voronoi(coordination(cna(bond_order(particle))))
    pictures = {picture.name: picture for picture in structure(made)}
    assert list(pictures) == ["crystal-structure", "bond-order", "q4-q6", "coordination", "voronoi"]
    assert all(picture.png().startswith(b"\x89PNG") for picture in pictures.values())
    share = 100 * float((made["structure"] == 1).mean())
    assert f"{share:.1f} % fcc" in pictures["crystal-structure"].caption
    assert "by ADAPTIVE CNA" in pictures["crystal-structure"].caption
    assert f"{int((made['coordination'] == 12).sum())} have 12" in pictures["coordination"].caption
    assert f"{int(np.isfinite(made['voronoi_volume']).sum())} closed cells" in pictures["voronoi"].caption
    assert set(pictures) <= {picture.name for picture in draw(made)}


def test_atoms_that_know_nothing_of_this_have_no_such_picture(particle: xr.Dataset) -> None:
    assert structure(particle) == []
    plain = bond_order(particle, averaged=False, third_order=False)
    assert [picture.name for picture in structure(plain)] == ["bond-order", "q4-q6"]
    alone = bond_order(particle.isel(atom=[0]), cutoff=3.4)
    assert [picture.name for picture in structure(alone)] == ["q4-q6"]
