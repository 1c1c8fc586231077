"""Pictures of pair distributions, order and interfaces say what the numbers say."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from aetx.core.atoms import atoms_dataset
from aetx.draw.by_kind import draw
from aetx.draw.interface import interface as interface_picture
from aetx.draw.order import order
from aetx.draw.pairs import pairs
from aetx.draw.picture import Picture
from aetx.stages.simulate.core_shell import core_shell
from aetx.stages.structure.interface import interface
from aetx.stages.structure.medium_range_order import medium_range_order
from aetx.stages.structure.nuclei import nuclei
from aetx.stages.structure.pair_distribution import pair_distribution
from aetx.stages.structure.template import template
from aetx.stages.structure.twin_order import twin_order
from aetx.stages.structure.warren_cowley import warren_cowley


@pytest.fixture(scope="module")
def particle() -> xr.Dataset:
    return core_shell(atoms=600, displacement=0.1)


def names(pictures: list[Picture]) -> list[str]:
    assert all(picture.png().startswith(b"\x89PNG") for picture in pictures)
    return [picture.name for picture in pictures]


def test_a_pair_distribution_shows_its_first_shell(particle: xr.Dataset) -> None:
    made = pair_distribution(particle)
    (picture,) = pairs(made)
    assert names([picture]) == ["pair-distribution"]
    assert f"first peak at {float(made['first_peak']):.4f}" in picture.caption


def test_an_interface_shows_its_width(particle: xr.Dataset) -> None:
    made = interface(particle)
    (picture,) = interface_picture(made)
    assert f"{float(made['interface_width']):.2f} ± {float(made['interface_width_error']):.2f}" in picture.caption
    assert names([picture]) == ["interface"]


def test_atoms_show_each_order_that_they_have(particle: xr.Dataset) -> None:
    made = template(twin_order(warren_cowley(particle, shuffles=10)))
    made = made.assign(bond_order=("atom", np.linspace(0.4, 1.0, 600), {"units": "1"}))
    pictures = order(medium_range_order(nuclei(made.assign_attrs(aetx_schema="atoms/1")), inner=2.0, outer=3.4))
    assert names(pictures) == ["chemical-order", "twin-order", "template", "nuclei", "networks"]
    assert "fcc) hold" in pictures[4].caption
    assert "Pd-Pd" in pictures[0].caption
    told = int((made["twin_order"] > 0).sum())
    assert f"{told} of" in pictures[1].caption
    assert {"chemical-order", "twin-order", "template"} <= {picture.name for picture in draw(made)}


def test_few_atoms_and_unknown_values_are_drawn_too() -> None:
    lone = atoms_dataset(np.zeros((1, 3)), 78, {"twin_order": (np.full(1, np.nan), "angstrom")})
    assert names(order(lone)) == ["twin-order"]
    assert order(lone.isel(atom=slice(0, 0))) == []
    assert interface_picture(lone) == []
