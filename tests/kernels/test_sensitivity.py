"""Derivatives of images of atoms against central differences of a twin in plain numpy, and against each other."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some
from numpy.testing import assert_allclose
from numpy.typing import NDArray
from scipy.special import erf

from aetx.kernels import sensitivity
from aetx.kernels.rendering import render

F64 = NDArray[np.float64]
ROWS, COLUMNS = 27, 37
DELTA = 1e-5


def atoms(count: int = 12, narrow: float = 0.5, wide: float = 2.0, seed: int = 0) -> tuple[F64, F64, F64, F64]:
    """x, y, heights and widths in pixels: some of the atoms beyond the edges, some narrower than a pixel."""
    generator = np.random.default_rng(seed)
    x, y = generator.uniform(-4, COLUMNS + 3, count), generator.uniform(-4, ROWS + 3, count)
    return x, y, generator.uniform(1, 5, count), generator.uniform(narrow, wide, count)


def change(x: F64, y: F64, height: F64, width: F64, *by: F64) -> NDArray[np.float32]:
    by_x, by_y, by_height, by_width = by
    drawn = sensitivity.lines(x, y, width, ROWS, COLUMNS)
    return sensitivity.change(drawn, height, by_x, by_y, by_height, by_width, ROWS, COLUMNS)


def collect(image: NDArray[np.float32], x: F64, y: F64, height: F64, width: F64) -> F64:
    return sensitivity.collect(image, sensitivity.lines(x, y, width, ROWS, COLUMNS), height)


def own(weight: NDArray[np.float32], x: F64, y: F64, height: F64, width: F64) -> F64:
    return sensitivity.own(weight, sensitivity.lines(x, y, width, ROWS, COLUMNS), height)


def gaussians(centre: F64, width: F64, size: int) -> F64:
    """Gaussians of unit integral along an axis, shape (atoms, size): integrated over the pixels if narrow."""
    t = (np.arange(size) - centre[:, None]) / width[:, None]
    sampled = np.exp(-0.5 * t**2) / (np.sqrt(2 * np.pi) * width[:, None])
    half = 0.5 / width[:, None]
    integrated = 0.5 * (erf((t + half) / np.sqrt(2)) - erf((t - half) / np.sqrt(2)))
    return np.where(width[:, None] < 1.0, integrated, sampled)


def pictures(x: F64, y: F64, height: F64, width: F64) -> F64:
    """The image of each atom by itself, shape (atoms, rows, columns)."""
    return height[:, None, None] * gaussians(y, width, ROWS)[:, :, None] * gaussians(x, width, COLUMNS)[:, None, :]


def slopes(made: tuple[F64, F64, F64, F64]) -> F64:
    """Central differences of each atom's image by x, y, height and width, shape (atoms, 4, rows, columns)."""
    found = []
    for unknown in range(4):
        ends = [tuple(one + sign * DELTA * (i == unknown) for i, one in enumerate(made)) for sign in (1, -1)]
        found.append((pictures(*ends[0]) - pictures(*ends[1])) / (2 * DELTA))
    return np.stack(found, axis=1)


def noise(seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((ROWS, COLUMNS)).astype(np.float32)


def test_the_twin_draws_what_is_rendered() -> None:
    made = atoms()
    wanted = pictures(*made).sum(0)
    assert_allclose(render(*made, ROWS, COLUMNS), wanted, atol=4e-6 * wanted.max())


@pytest.mark.parametrize("unknown", range(4), ids=["x", "y", "height", "width"])
@pytest.mark.parametrize(("narrow", "wide"), [(0.4, 0.95), (1.05, 2.2)], ids=["narrow", "wide"])
def test_the_change_of_an_image_is_a_difference_of_images(unknown: int, narrow: float, wide: float) -> None:
    made = atoms(narrow=narrow, wide=wide)
    by = np.zeros((4, 12))
    by[unknown] = np.random.default_rng(1).uniform(-1, 1, 12)
    wanted = np.einsum("n,nij->ij", by[unknown], slopes(made)[:, unknown])
    found = change(*made, *by)
    assert found.dtype == np.float32
    assert_allclose(found, wanted, atol=3e-5 * np.abs(wanted).max())


def test_changes_of_all_kinds_add_up() -> None:
    made, by = atoms(), np.random.default_rng(2).uniform(-1, 1, (4, 12))
    wanted = np.einsum("un,nuij->ij", by, slopes(made))
    assert_allclose(change(*made, *by), wanted, atol=3e-5 * np.abs(wanted).max())


def test_what_is_collected_is_the_product_of_the_image_with_each_derivative() -> None:
    made, image = atoms(), noise(3)
    wanted = np.einsum("nuij,ij->nu", slopes(made), image)
    found = collect(image, *made)
    assert_allclose(found, wanted, atol=3e-5 * np.abs(wanted).max())
    assert_allclose(found[:, 2] @ made[2], (image * render(*made, ROWS, COLUMNS)).sum(), rtol=1e-4)


@given(seed=some.integers(0, 2**32 - 1), narrow=some.floats(0.3, 1.5))
def test_collecting_is_the_transpose_of_changing(seed: int, narrow: float) -> None:
    made = atoms(narrow=narrow, seed=seed)
    by, image = np.random.default_rng(seed).uniform(-1, 1, (4, 12)), noise(seed)
    drawn = change(*made, *by).astype(np.float64)
    size = np.sqrt((drawn**2).sum() * (image**2).sum())
    assert_allclose((by.T * collect(image, *made)).sum(), (drawn * image).sum(), atol=2e-6 * size)


def test_own_information_is_made_of_the_weighted_products_of_changes() -> None:
    made = atoms()
    weight = np.random.default_rng(4).uniform(0.1, 3, (ROWS, COLUMNS)).astype(np.float32)
    each = slopes(made)
    wanted = np.einsum("naij,nbij,ij->nab", each, each, weight)
    size = np.sqrt(np.einsum("naa,nbb->nab", wanted, wanted)).max(axis=0)
    assert_allclose(own(weight, *made) / size, wanted / size, atol=2e-5)


def test_own_information_is_that_of_changing_twice() -> None:
    made = tuple(one[:1] for one in atoms(seed=5))
    weight = np.random.default_rng(6).uniform(0.1, 3, (ROWS, COLUMNS)).astype(np.float32)
    units = [change(*made, *(unit[:, None])).astype(float) for unit in np.eye(4)]
    wanted = np.array([[(a * b * weight).sum() for b in units] for a in units])
    assert_allclose(own(weight, *made)[0], wanted, rtol=1e-4, atol=1e-5 * np.abs(wanted).max())


def test_atoms_that_no_pixel_sees_change_nothing() -> None:
    x, y = np.array([-60.0, 20.0, 200.0]), np.array([10.0, -70.0, 10.0])
    made = (x, y, np.ones(3), np.full(3, 1.2))
    assert not change(*made, *np.ones((4, 3))).any()
    assert not collect(noise(7), *made).any()
    assert not own(np.ones((ROWS, COLUMNS), np.float32), *made).any()


def test_no_atoms_change_nothing() -> None:
    none = (np.zeros(0),) * 4
    assert change(*none, *none).shape == (ROWS, COLUMNS)
    assert collect(noise(8), *none).shape == (0, 4)
    assert own(noise(8), *none).shape == (0, 4, 4)


@pytest.mark.parametrize("edge", list(product((0.0, COLUMNS - 1.0), (0.0, ROWS - 1.0))))
def test_atoms_on_the_corners_are_cut_at_the_edges(edge: tuple[float, float]) -> None:
    made = tuple(np.array([value]) for value in (*edge, 2.0, 1.3))
    wanted = slopes(made)[0]  # type: ignore[arg-type]
    found = np.stack([change(*made, *(unit[:, None])) for unit in np.eye(4)])
    assert_allclose(found, wanted, atol=3e-5 * np.abs(wanted).max())
