"""Close-packed layers and the strain of a bump."""

from __future__ import annotations

import numpy as np
from numpy.testing import assert_allclose
from scipy.spatial import KDTree

from aetx.kernels import stacking


def test_layers_follow_the_letters_of_the_double_twin() -> None:
    sites, layer = stacking.double_twin(2.766, 8.0, 14.0)
    hollow = np.array([0.5, np.sqrt(3) / 6]) * 2.766
    letters = ""
    for k in range(-5, 6):
        away = [np.linalg.norm(sites[layer == k][:, :2] - i * hollow, axis=1).min() for i in range(3)]
        letters += "ABC"[int(np.argmin(away))]
        assert_allclose(sorted(away), [0.0, 2.766 / np.sqrt(3), 2.766 / np.sqrt(3)], atol=1e-9)
    assert letters == "ABCABACABCA"
    assert_allclose(sites[:, 2], layer * 3.912 / np.sqrt(3), atol=1e-3)


def test_every_inner_site_has_twelve_neighbours_and_the_density_of_the_crystal() -> None:
    sites, _ = stacking.double_twin(2.766, 14.0, 14.0)
    inner = (np.hypot(sites[:, 0], sites[:, 1]) < 10) & (np.abs(sites[:, 2]) < 10)
    assert_allclose(np.asarray(KDTree(sites).query(sites[inner], k=13)[0])[:, 1:], 2.766, rtol=1e-9)


def test_the_cubic_axes_are_those_of_both_halves() -> None:
    sites, layer = stacking.double_twin(2.766, 14.0, 18.0)
    assert_allclose(stacking.CUBIC @ stacking.CUBIC.T, np.eye(3), atol=1e-15)
    edge = 2.766 * np.sqrt(2)
    for half in (layer > 3, layer < -3):
        inner = sites[half & (np.hypot(sites[:, 0], sites[:, 1]) < 8) & (np.abs(np.abs(sites[:, 2]) - 13.5) < 1.5)]
        for axis in stacking.CUBIC:
            assert_allclose(KDTree(sites).query(inner + edge * axis * -np.sign(inner[0, 2]))[0], 0.0, atol=1e-9)


def test_the_strain_is_a_gaussian_about_the_bump() -> None:
    points = np.random.default_rng(0).uniform(-15, 15, (200, 3))
    centre, step = np.array([3.0, -1.0, 2.0]), 1e-4
    for k, peak in ((0, 0.04), (1, -0.02)):
        shift = step * np.eye(3)[k]
        after, before = (stacking.local_strain(points + s * shift, centre, 6.0, 0.04, -0.02)[:, k] for s in (1, -1))
        expected = peak * np.exp(-((points - centre) ** 2).sum(axis=1) / 72)
        assert_allclose((after - before) / (2 * step), expected, atol=1e-8)
