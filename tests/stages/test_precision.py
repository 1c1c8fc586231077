"""Bias and scatter over repeats."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from scipy.spatial.transform import Rotation

from aetx.core.atoms import atoms_dataset
from aetx.errors import InputError
from aetx.stages.measure.precision import precision

EDGE = np.arange(-5, 6)
SITES = np.stack(np.meshgrid(EDGE, EDGE, EDGE, indexing="ij"), -1).reshape(-1, 3)
SITES = SITES[(np.abs(SITES).sum(1) <= 10) & (SITES.sum(1) % 2 == 0)] * 2.77 / 2**0.5  # a cuboctahedron of 561 atoms


def atoms(position: np.ndarray) -> xr.Dataset:
    return atoms_dataset(position, 78).assign_attrs(aetx_schema="atoms/1")


def test_planted_bias_and_scatter_are_told_apart() -> None:
    rng = np.random.default_rng(0)
    bias = 0.05 * rng.standard_normal(SITES.shape) * [1, 1, 2]
    repeats = tuple(atoms(SITES + bias + rng.standard_normal(SITES.shape) * [0.05, 0.1, 0.2]) for _ in range(8))
    score = precision(atoms(SITES), repeats, align="none")
    np.testing.assert_allclose(score["rms_scatter"], [0.05, 0.1, 0.2], rtol=0.05)
    np.testing.assert_allclose(score["rms_bias"], np.sqrt((bias**2).mean(0)), rtol=0.12)
    assert float(score["rmsd"]) == pytest.approx(np.sqrt(0.015 + 0.0525), rel=0.03)
    np.testing.assert_allclose(
        score["bias"].std("atom"), np.sqrt(bias.var(0) + np.array([0.05, 0.1, 0.2]) ** 2 / 8), rtol=0.1
    )
    assert score["identified"].values.tolist() == [1] * 561


def test_an_atom_that_is_missed_or_false_counts_in_its_region() -> None:
    outer = int(np.argmax(SITES[:, 0]))
    core = int(np.argmin((SITES**2).sum(1)))
    first = atoms(np.concatenate([np.delete(SITES, [outer, core], axis=0), [[30.0, 0, 0]]]))
    score = precision(atoms(SITES), (first, atoms(SITES)))
    assert score["missed_repeat"].values.tolist() == [2, 0]
    assert score["false_repeat"].values.tolist() == [1, 0]
    np.testing.assert_allclose(score["tracing_error_region"], [2 / 504, 1 / 618])
    assert float(score["tracing_error"]) == pytest.approx(3 / 1122)
    assert score["identified"].values[[outer, core]].tolist() == [0.5, 0.5]
    assert np.isnan(score["scatter"].values[outer]).all()
    assert int(score["on_surface"].sum()) == 252


def test_repeats_are_aligned_each_by_itself() -> None:
    rng = np.random.default_rng(1)
    sites = SITES + 0.2 * rng.standard_normal(SITES.shape)
    moved = []
    for angle, shift in ((-2, 0.3), (3, -0.2)):
        turn = Rotation.from_rotvec(np.deg2rad(angle) * np.array([1, 0, 1])).as_matrix()
        moved.append(atoms(sites @ turn.T + shift))
    score = precision(atoms(sites), tuple(moved))
    assert float(score["rmsd"]) < 1e-6


def test_one_repeat_has_no_scatter_and_none_is_refused() -> None:
    score = precision(atoms(SITES), (atoms(SITES + 0.01),), align="none")
    assert np.isnan(score["scatter"]).all()
    assert np.isnan(score["rms_bias"]).all()
    np.testing.assert_allclose(score["bias"], 0.01)
    with pytest.raises(InputError, match="at least one set"):
        precision(atoms(SITES), ())
    nothing = precision(atoms(SITES), (atoms(SITES[:0]),))
    assert float(nothing["tracing_error"]) == 1
    assert np.isnan(nothing["rmsd"])
