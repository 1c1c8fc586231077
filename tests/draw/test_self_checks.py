"""Pictures of shape, pixel size, signs of angles and damage: there where something is known, and without fault."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import xarray as xr

from aetx.draw.by_kind import draw
from aetx.errors import AetxWarning
from aetx.stages.measure.atom_shape import atom_shape
from aetx.stages.measure.damage import damage
from aetx.stages.measure.hand import hand
from aetx.stages.measure.pixel_size import pixel_size


def drawn(made: xr.Dataset) -> dict[str, str]:
    """Draw every picture to its bytes; return the captions by name."""
    pictures = draw(made)
    assert all(picture.png() for picture in pictures)
    return {picture.name: picture.caption for picture in pictures}


@pytest.fixture(autouse=True)
def _quiet() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AetxWarning)
        yield


def test_the_average_atom_and_its_widths_are_drawn(small_atoms: xr.Dataset, small_volume: xr.Dataset) -> None:
    said = drawn(atom_shape(small_atoms, small_volume))
    assert list(said) == ["average-atom", "atom-widths"]
    assert said["average-atom"].startswith("Mean of 13 atoms")


def test_the_scale_is_drawn_where_there_is_one(small_atoms: xr.Dataset) -> None:
    assert list(drawn(pixel_size(small_atoms, lattice_constant=4.8, least=1))) == ["pixel-size"]
    assert drawn(pixel_size(small_atoms, lattice_constant=4.8, least=9)) == {}


@pytest.mark.parametrize("known", [False, True])
def test_the_meanings_of_angles_are_drawn(known: bool, small_atoms: xr.Dataset, small_series: xr.Dataset) -> None:
    made = hand(small_series, small_atoms if known else None, iterations=2, profile="gaussian", width=0.9)
    assert "No projection tells them from -theta" in drawn(made)["hand"]


def test_damage_is_drawn_with_pairs_and_without(small_atoms: xr.Dataset, small_series: xr.Dataset) -> None:
    params: dict[str, Any] = {"profile": "gaussian", "width": 0.9}
    assert list(drawn(damage(small_series, small_series, small_atoms, **params))) == ["damage"]
    told = drawn(damage(small_series.isel(tilt=slice(0, 2)), None, None))
    assert told["damage"] == "Nothing here tells of damage."
    dosed = small_series.assign(dose=("tilt", np.full(9, 1e4), {"units": "e/angstrom**2"}))
    assert "over the dose" in drawn(damage(dosed, None, small_atoms, **params))["damage"]
