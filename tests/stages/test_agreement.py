"""Which atoms other models have too: of four atoms on a line."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from numpy.testing import assert_allclose, assert_array_equal

from aetx.core.atoms import atoms_dataset
from aetx.errors import InputError
from aetx.stages.measure.agreement import agreement

LINE = np.array([[0.0, 0, 0], [3, 0, 0], [6, 0, 0], [9, 0, 0]])


def model(*moves: tuple[int, float]) -> xr.Dataset:
    """Some of the atoms, moved along z."""
    return atoms_dataset(np.array([LINE[i] + [0, 0, away] for i, away in moves]), 78)


def test_an_atom_counts_the_models_that_have_it() -> None:
    others = model((0, 0.0), (1, 0.1), (2, 1.3)), model((3, 0.0), (1, 0.3), (0, -0.2)), model((0, 0.1), (1, 0.0))
    found = agreement(atoms_dataset(LINE, 78), others)
    assert_allclose(found["agreement"], [1, 1, 1 / 3, 1 / 3])
    assert_allclose(found["spread"], np.sqrt([0.05 / 3, 0.1 / 3, 1.69, 0.0]))
    assert_allclose(found["model_distance"], [[0, 0.1, 1.3, np.nan], [0.2, 0.3, np.nan, 0], [0.1, 0, np.nan, np.nan]])
    assert_array_equal(found["model_missing"], [1, 1, 2])
    assert_array_equal(found["model_extra"], [0, 0, 0])


def test_one_atom_is_the_like_of_one_only() -> None:
    both = atoms_dataset(np.array([[0.0, 0, 0], [0.8, 0, 0]]), 78)
    found = agreement(both, (atoms_dataset(np.array([[0.1, 0, 0], [20.0, 0, 0]]), 78),))
    assert_array_equal(found["agreement"], [1, 0])
    assert np.isnan(found["spread"].values[1])
    assert found["model_extra"].values[0] == 1


def test_a_model_of_nothing_has_no_atom() -> None:
    found = agreement(atoms_dataset(LINE, 78), (atoms_dataset(np.zeros((0, 3)), 78),))
    assert_array_equal(found["agreement"], 0)


def test_no_other_model_is_an_error() -> None:
    with pytest.raises(InputError, match="name the other models"):
        agreement(atoms_dataset(LINE, 78), ())
