"""Least squares of a lattice: exact where it can be, with covariances that repeats confirm, in two dimensions too."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from aetx.kernels.lattice_fit import Fit, fit

SITES = np.random.default_rng(0).integers(-4, 5, (150, 3)).astype(float)


def turned(size: int) -> np.ndarray:
    whole = Rotation.from_rotvec([0, 0, 0.3] if size == 2 else [0.4, -0.2, 0.9]).as_matrix()
    return np.asarray(whole[:size, :size])


def turn_between(one: Fit, true: np.ndarray) -> np.ndarray:
    away = one.rotation @ true.T
    if len(true) == 2:
        return np.array([away[1, 0]])
    return np.array([away[2, 1] - away[1, 2], away[0, 2] - away[2, 0], away[1, 0] - away[0, 1]]) / 2


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("affine", [False, True])
def test_all_errors_are_those_of_repeats(size: int, affine: bool) -> None:
    generator, true, sites = np.random.default_rng(1), turned(size), SITES[:, :size]
    spread = generator.uniform(0.02, 0.3, (len(sites), size))
    covariance = np.einsum("ni,ij->nij", spread**2, np.eye(size))
    scale, origin, turn, left = [], [], [], []
    for _ in range(150):
        made = fit(5.0 + sites @ (2.7 * true.T) + generator.normal(0, spread), sites, covariance, affine)
        scale.append((made.scale - 2.7) / made.scale_error)
        origin.append((made.origin - 5.0) / np.sqrt(np.diag(made.covariance)[:size]))
        turn.append(turn_between(made, true) / np.sqrt(np.diag(made.turn_covariance)))
        left.append(made.residual / np.sqrt(np.einsum("nii->ni", made.residual_covariance)))
    for pulls in (scale, origin, turn):
        assert np.std(pulls) == pytest.approx(1.0, abs=0.17)
    assert np.std(left) == pytest.approx(1.0, abs=0.03)


def test_an_atom_that_alone_fixes_the_fit_has_no_displacement_left() -> None:
    sites = np.concatenate([np.zeros((10, 3)), np.eye(3)])
    covariance = np.tile(0.01 * np.eye(3), (13, 1, 1))
    made = fit(sites + np.random.default_rng(0).normal(0, 0.1, (13, 3)), sites, covariance, affine=True)
    np.testing.assert_allclose(made.residual[10:], 0, atol=1e-9)
    np.testing.assert_allclose(made.residual_covariance[10:], 0, atol=1e-9)
    expected = 0.01 * (1 - 1 / 10) * np.eye(3)
    np.testing.assert_allclose(made.residual_covariance[0], expected, rtol=1e-6)


def test_displacements_beyond_the_errors_are_told_and_do_not_let_sure_atoms_rule() -> None:
    generator = np.random.default_rng(2)
    sites = generator.integers(-8, 9, (3000, 3)).astype(float)
    spread = np.where(np.arange(3000) < 20, 1e-4, 0.05)[:, None]
    position = 2.7 * sites + generator.normal(0, 0.2, sites.shape) + generator.normal(0, 1, sites.shape) * spread
    covariance = spread[:, :, None] ** 2 * np.eye(3)
    made = fit(position, sites, covariance, affine=False)
    assert made.disorder == pytest.approx(0.2, rel=0.03)
    assert made.scale == pytest.approx(2.7, abs=0.003)


def test_sites_in_a_plane_are_never_sheared_out_of_it_nor_mirrored() -> None:
    flat = SITES * [1, 1, 0]
    true = turned(3)
    made = fit(2.0 * flat @ true.T, flat, None, affine=True)
    np.testing.assert_allclose(made.matrix, 2.0 * true.T, atol=1e-9)
    assert np.linalg.det(made.rotation) == pytest.approx(1.0)


def test_atoms_whose_errors_are_not_known_have_unknown_displacement_errors() -> None:
    covariance = np.tile(0.01 * np.eye(3), (len(SITES), 1, 1))
    covariance[3] = np.nan
    position = SITES + np.random.default_rng(0).normal(0, 0.1, SITES.shape)
    made = fit(position, SITES, covariance, affine=False)
    assert np.isnan(made.residual_covariance[3]).all()
    assert np.isfinite(np.delete(made.residual_covariance, 3, axis=0)).all()
    assert math.isfinite(made.scale_error)
    scatter = fit(position, SITES, None, affine=False)
    assert np.isnan(scatter.residual_covariance).all()
    assert scatter.scale_error == pytest.approx(made.scale_error, rel=0.15)
