"""Kernel regression is weighted least squares of order 0 and 1, and tells the bias of order 0."""

from __future__ import annotations

import numpy as np
import pytest

from aetx.kernels import deformation, regression

STRAIN = regression.REST + deformation.STRAIN
WIDTH = 2.7


def values(order: int, point: np.ndarray, cloud: regression.Cloud, frame: np.ndarray | None = None) -> np.ndarray:
    frames = np.eye(3)[None] if frame is None else frame[None]
    home = np.zeros(len(point), np.int64)
    return regression.regress(cloud, point, home, order, False, frames, np.zeros(3), 1.0, 0.0)


def random_cloud(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    site = generator.uniform(-12, 12, (400, 3))
    root = generator.normal(0, 0.05, (400, 3, 3))
    return site, 0.02 * generator.normal(size=(400, 3)), root @ root.transpose(0, 2, 1), generator.uniform(0.5, 2, 400)


def test_order_1_is_the_weighted_fit_of_a_straight_line_with_its_covariance() -> None:
    site, moved, covariance, trust = random_cloud(0)
    point = np.array([[0.0, 1.0, -2.0], [9.0, 9.0, 9.0]])
    grain = np.zeros(400, np.int64)
    found = values(1, point, regression.cloud(site, moved, covariance, trust, grain, WIDTH))
    for row, place in zip(found, point, strict=True):
        away = site - place
        distance = np.linalg.norm(away, axis=1)
        weight = np.where(distance < 4 * WIDTH, trust * np.exp(-(distance**2) / (2 * WIDTH**2)), 0)
        line = np.column_stack([np.ones(400), away])
        share = np.linalg.solve(line.T @ (weight[:, None] * line), (weight[:, None] * line).T)
        fitted = share @ moved
        np.testing.assert_allclose(row[regression.DISPLACEMENT :][:3], fitted[0], atol=1e-12)
        error = np.sqrt(np.einsum("n,naa->a", share[0] ** 2, covariance))
        np.testing.assert_allclose(row[regression.DISPLACEMENT_ERROR :][:3], error, rtol=1e-9)
        u, size, vt = np.linalg.svd(np.eye(3) + fitted[1:].T)
        turn = u @ vt
        strain = vt.T @ np.diag(size) @ vt - np.eye(3)
        for k, (a, b) in enumerate(deformation.PAIRS):
            assert row[STRAIN + k] == pytest.approx(strain[a, b], abs=1e-12)
            one = 0.5 * (np.outer(turn[:, a], share[1 + b]) + np.outer(turn[:, b], share[1 + a])).T
            expected = np.sqrt(np.einsum("ni,nij,nj->", one, covariance, one))
            assert row[regression.REST + deformation.STRAIN_ERROR + k] == pytest.approx(expected, rel=1e-9)
            if a != b:
                other = 0.5 * (np.outer(turn[:, a], share[1 + b]) - np.outer(turn[:, b], share[1 + a])).T
                expected = np.sqrt(np.einsum("ni,nij,nj->", other, covariance, other))
                assert row[regression.REST + deformation.ROTATION_ERROR + k - 3] == pytest.approx(expected, rel=1e-9)


def test_order_0_is_the_derivative_of_the_weighted_mean() -> None:
    site, moved, covariance, _ = random_cloud(1)
    moved *= 1e-4
    cloud = regression.cloud(site, moved, covariance, np.ones(400), np.zeros(400, np.int64), WIDTH)

    def mean(place: np.ndarray) -> np.ndarray:
        square = ((site - place) ** 2).sum(1)
        weight = np.exp(-square / (2 * WIDTH**2)) * (square < (4 * WIDTH) ** 2)
        return np.asarray(weight @ moved / weight.sum())

    place = np.array([1.0, 0.5, -0.3])
    step = 1e-5 * np.eye(3)
    slope = np.stack([(mean(place + one) - mean(place - one)) / 2e-5 for one in step], axis=1)
    row = values(0, place[None], cloud)[0]
    np.testing.assert_allclose(row[regression.DISPLACEMENT :][:3], mean(place), rtol=1e-9)
    expected = [0.5 * (slope[a, b] + slope[b, a]) for a, b in deformation.PAIRS]
    np.testing.assert_allclose(row[STRAIN : STRAIN + 6], expected, atol=2e-10)


def test_order_0_finds_at_a_flat_surface_what_is_published_and_order_1_all_of_it() -> None:
    step = 0.9
    flat, deep = np.arange(-13, 13.1) * step, -(np.arange(28) + 0.5) * step
    site = np.stack(np.meshgrid(flat, flat, deep, indexing="ij"), -1).reshape(-1, 3)
    moved = 0.01 * site * [0, 0, 1]
    cloud = regression.cloud(
        site, moved, np.zeros((len(site), 3, 3)), np.ones(len(site)), np.zeros(len(site), np.int64), WIDTH
    )
    point = np.array([[0, 0, 0], [0, 0, -WIDTH], [0, 0, -2 * WIDTH], [0, 0, -4 * WIDTH]])
    across = STRAIN + deformation.PAIRS.index((2, 2))
    biased = values(0, point, cloud)[:, across] / 0.01
    np.testing.assert_allclose(biased, [1 - 2 / np.pi, 0.630, 0.886, 1.0], atol=0.01)
    np.testing.assert_allclose(values(1, point, cloud)[:, across], 0.01, atol=1e-12)


def test_a_rotation_is_found_whatever_its_size() -> None:
    for angle in (1e-9, 0.02, 0.5, 2.0):
        c, s = np.cos(angle), np.sin(angle)
        turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
        out = np.empty(deformation.COLUMNS)
        stretch = np.eye(3) + 0.01 * np.array([[1, 0.5, 0], [0.5, -2, 0], [0, 0, 1]])
        deformation.derive(turn @ stretch - np.eye(3), np.zeros((6, 6)), np.eye(3), np.array([1.0, 0, 0]), out)
        np.testing.assert_allclose(out[:6], [0.01, -0.02, 0.01, 0, 0, 0.005], atol=1e-12)
        np.testing.assert_allclose(out[deformation.ROTATION :][:3], [0, 0, -angle], atol=1e-9)
        assert out[deformation.VOLUMETRIC] == pytest.approx(0, abs=1e-12)
        assert out[deformation.VON_MISES] == pytest.approx(np.sqrt(0.5 * (0.01**2 + 0.02**2 + 0.01**2 + 2 * 0.005**2)))
        assert out[deformation.RADIAL] == pytest.approx(0.01)
        assert out[deformation.HOOP] == pytest.approx(-0.005)


def test_matter_turned_inside_out_has_no_strain() -> None:
    out = np.empty(deformation.COLUMNS)
    deformation.derive(np.diag([-2.0, 0, 0]), np.zeros((6, 6)), np.eye(3), np.ones(3), out)
    assert np.isnan(out).all()
