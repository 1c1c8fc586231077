"""Pictures of lattices: grains with their twin planes, and layers; what their captions say."""

from __future__ import annotations

import pytest
import xarray as xr

from aetx.draw import draw
from aetx.stages.lattice.boundaries import boundaries
from aetx.stages.lattice.fit import fit
from aetx.stages.lattice.layers import layers
from aetx.stages.simulate.dumbbell import dumbbell


@pytest.fixture(scope="module")
def twinned() -> xr.Dataset:
    return boundaries(fit(dumbbell(atoms=900), type="fcc", least=3))


def captions(dataset: xr.Dataset) -> dict[str, str]:
    return {one.name: one.caption for one in draw(dataset)}


def test_twins_are_drawn_with_their_planes_and_twist(twinned: xr.Dataset) -> None:
    told = captions(twinned)
    assert "twins" in told
    assert "layers" not in told
    sizes = ", ".join(map(str, twinned["plane_atoms"].values))
    assert f"dark atoms on 2 twin planes ({sizes} atoms)" in told["twins"]
    twist, error = float(twinned["twist"][0, 1]), float(twinned["twist_error"][0, 1])
    assert f"0 and 1 {twist:+.2f} ± {error:.2f}°" in told["twins"]


def test_layers_are_drawn_with_their_letters(twinned: xr.Dataset) -> None:
    found = layers(twinned)
    told = captions(found)
    assert told["layers"].startswith(f"{found.sizes['layer_id']} layers, {found.attrs['stacking']} from the lowest up")
    assert "shaded: 2 stacked as in hcp" in told["layers"]


def test_a_single_grain_has_neither(small_atoms: xr.Dataset) -> None:
    assert not {"twins", "layers"} & set(captions(boundaries(fit(small_atoms, type="fcc", least=1))))
