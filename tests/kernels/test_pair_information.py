"""Pairs of atoms, tile by tile: against sums over whole images, and their inverse against plain linear algebra."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from aetx.kernels import pair_information
from aetx.kernels.fisher import HEIGHT, WIDTH, X, Y

F64 = NDArray[np.float64]
KINDS = np.array([X, Y, HEIGHT, WIDTH], np.int64)


def pictures(place: F64, height: F64, wide: F64, rows: int, columns: int) -> F64:
    """Derivatives of Gaussians sampled at the pixels, by x, y, relative height and width: (atoms, 4, rows, columns)."""
    y, x = np.mgrid[:rows, :columns]
    right, up = x - place[:, 0, None, None], y - place[:, 1, None, None]
    square, s = right**2 + up**2, wide[:, None, None]
    picture = height[:, None, None] / (2 * np.pi * s**2) * np.exp(-0.5 * square / s**2)
    made = [picture * right / s**2, picture * up / s**2, picture, picture * (square / s**2 - 2) / s]
    return np.stack(made, axis=1)


@pytest.mark.parametrize("size", [37, 40])
def test_tiles_add_up_to_whole_images(size: int) -> None:
    generator = np.random.default_rng(0)
    place, height = generator.uniform(-2, size + 2, (2, 30, 2)), generator.uniform(1, 2, (2, 30))
    width, told = generator.uniform(1.0, 1.4, 30), generator.random((2, size, size + 3))
    told[0, :12] = 0.0
    chain = generator.standard_normal((2, 4, 5))
    found, one = np.zeros((150, 150)), np.ones((1, 1))
    sort = np.zeros(30, np.int64)
    pair_information.add_pairs(place, height, width, sort, one, 0 * one, 15, KINDS, chain, told, found)
    wanted = np.zeros_like(found)
    for image in range(2):
        by_kind = pictures(place[image], height[image], width, size, size + 3)
        slope = np.einsum("nkyx,ku->nuyx", by_kind, chain[image]).reshape(150, -1)
        wanted += (slope * told[image].ravel()) @ slope.T
    block = np.arange(150) // 5
    below = block[:, None] >= block
    np.testing.assert_allclose(found[below], wanted[below], atol=1e-9 * wanted.max())


def test_blocks_of_an_inverse_come_from_the_inverse_of_its_root() -> None:
    root = np.random.default_rng(1).standard_normal((12, 20))
    triangle = np.linalg.inv(np.linalg.cholesky(root @ root.T))
    blocks = np.zeros((4, 3, 3))
    pair_information.add_own_products(triangle + np.triu(np.full((12, 12), np.nan), 1), blocks)
    wanted = np.linalg.inv(root @ root.T).reshape(4, 3, 4, 3)
    np.testing.assert_allclose(blocks, np.einsum("iaib->iab", wanted), rtol=1e-9)
