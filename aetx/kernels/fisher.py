"""Fisher information of the images of atoms: derivative images, their products, and products with vectors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from aetx.kernels.profiles import NARROW, gaussian

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

X, Y, HEIGHT, WIDTH = range(4)
"""Derivatives of an image by one atom: by its place across and up in the image, its relative height, its width."""


@dataclass(frozen=True)
class Scene:
    """Atoms as all images see them. Lengths in pixels; T images, N atoms, S sorts of atoms, K Gaussians each.

    The image of an atom is height * sum weight * G(sqrt(width**2 + spread**2)), as wide as its window.
    """

    place: F64
    """Where each atom is, x and y from the centre of the pixel of index 0, shape (T, N, 2)."""
    height: F64
    """Expected electrons of each atom in each image, shape (T, N)."""
    width: F64
    """Gaussian standard deviation of each atom, shape (N,)."""
    sort: I64
    """Which profile each atom has, shape (N,)."""
    weight: F64
    """Weights of the Gaussians, shape (S, K)."""
    spread: F64
    """Their standard deviations, shape (S, K)."""
    half: int
    """Half the edge of the window of an atom: it reaches over 2 * half + 1 pixels."""
    rows: int
    columns: int

    def derivatives(self, image: int, kinds: I64, atoms: slice) -> tuple[F64, I64]:
        """Return derivative windows of some atoms in one image: (atoms, kinds, edge, edge), corners (atoms, 2)."""
        return windows(
            self.place[image, atoms],
            self.height[image, atoms],
            self.width[atoms],
            self.sort[atoms],
            self.weight,
            self.spread,
            self.half,
            kinds,
        )

    def forward(self, image: int, kinds: I64, change: F64) -> F64:
        """Return the change of one image by changes of its atoms (N, kinds, vectors): (rows, columns, vectors)."""
        made = np.zeros((self.rows, self.columns, change.shape[2]))
        self._exchange(image, kinds, np.ascontiguousarray(change), made, into_image=True)
        return made

    def adjoint(self, image: int, kinds: I64, values: F64) -> F64:
        """Return the transpose of `forward` on images (rows, columns, vectors): (N, kinds, vectors)."""
        made = np.zeros((self.place.shape[1], kinds.size, values.shape[2]))
        self._exchange(image, kinds, made, values, into_image=False)
        return made

    def _exchange(self, image: int, kinds: I64, change: F64, values: F64, *, into_image: bool) -> None:
        exchange(
            self.place[image],
            self.height[image],
            self.width,
            self.sort,
            self.weight,
            self.spread,
            self.half,
            kinds,
            change,
            values,
            into_image,
        )


@njit(nogil=True, cache=True)
def _line(centre: float, width: float, first: int, value: F64, by_centre: F64, by_width: F64) -> None:
    """Fill a Gaussian along an axis and its derivatives, as `profiles.gaussian` returns them.

    Outwards from the middle each value is the last one times a ratio, and each ratio the last one times a constant.
    """
    edge = value.size
    if width < NARROW:
        value[:], by_centre[:], by_width[:] = gaussian(centre, width, first, first + edge)
        return
    middle, inverse = edge // 2, 1.0 / width
    t = (first + middle - centre) * inverse
    top = np.exp(-0.5 * t * t) * inverse / np.sqrt(2.0 * np.pi)
    fall = np.exp(-inverse * inverse)
    height, ratio = top, np.exp((-t - 0.5 * inverse) * inverse)
    for i in range(middle, edge):
        value[i] = height
        height *= ratio
        ratio *= fall
    height, ratio = top, np.exp((t - 0.5 * inverse) * inverse)
    for i in range(middle, -1, -1):
        value[i] = height
        height *= ratio
        ratio *= fall
    for i in range(edge):
        t = (first + i - centre) * inverse
        by_centre[i] = value[i] * t * inverse
        by_width[i] = value[i] * (t * t - 1.0) * inverse


@njit(nogil=True, cache=True)
def lines_of(
    place: F64, height: float, width: float, weight: F64, spread: F64, half: int, lines: F64
) -> tuple[int, int]:
    """Fill the factors of one atom's derivatives, and return the row and column of the corner of its window.

    `lines`, shape (6, Gaussians, edge), holds value and derivatives by centre and width along x, then the same along y
    times height and weight.
    """
    left, low = int(np.floor(place[0] + 0.5)) - half, int(np.floor(place[1] + 0.5)) - half
    for k in range(weight.size):
        wide = np.sqrt(width * width + spread[k] * spread[k])
        _line(place[0], wide, left, lines[0, k], lines[1, k], lines[2, k])
        _line(place[1], wide, low, lines[3, k], lines[4, k], lines[5, k])
        scale = height * weight[k]
        for i in range(2 * half + 1):
            lines[2, k, i] *= width / wide
            lines[5, k, i] *= width / wide * scale
            lines[3, k, i] *= scale
            lines[4, k, i] *= scale
    return low, left


@njit(nogil=True, cache=True)
def _window(
    place: F64,
    height: float,
    width: float,
    weight: F64,
    spread: F64,
    half: int,
    kinds: I64,
    lines: F64,
    made: F64,
) -> tuple[int, int]:
    """Fill the derivatives of one atom, shape (kinds, edge, edge), and return the row and column of its corner.

    `lines` is room for what `lines_of` makes.
    """
    low, left = lines_of(place, height, width, weight, spread, half, lines)
    for a in range(kinds.size):
        if kinds[a] == X:
            np.dot(lines[3].T, lines[1], made[a])
        elif kinds[a] == Y:
            np.dot(lines[4].T, lines[0], made[a])
        elif kinds[a] == HEIGHT:
            np.dot(lines[3].T, lines[0], made[a])
        else:
            np.dot(lines[3].T, lines[2], made[a])
            made[a] += np.dot(lines[5].T, lines[0])
    return low, left


@njit(nogil=True, cache=True)
def windows(
    place: F64, height: F64, width: F64, sort: I64, weight: F64, spread: F64, half: int, kinds: I64
) -> tuple[F64, I64]:
    """Return the derivatives of the image by each atom: (atoms, kinds, edge, edge), and corners (row, column)."""
    edge = 2 * half + 1
    made = np.empty((place.shape[0], kinds.size, edge, edge))
    corner, lines = np.empty((place.shape[0], 2), np.int64), np.empty((6, weight.shape[1], edge))
    for i in range(place.shape[0]):
        s = sort[i]
        corner[i, 0], corner[i, 1] = _window(
            place[i], height[i], width[i], weight[s], spread[s], half, kinds, lines, made[i]
        )
    return made, corner


@njit(nogil=True, cache=True)
def exchange(
    place: F64,
    height: F64,
    width: F64,
    sort: I64,
    weight: F64,
    spread: F64,
    half: int,
    kinds: I64,
    change: F64,
    image: F64,
    into_image: bool,
) -> None:
    """Add to images what changes of the atoms do to them, or to the changes the images times each atom's derivatives.

    Parameters
    ----------
    place, height, width, sort, weight, spread, half
        As `Scene` holds them, of one image.
    kinds
        Derivatives that count.
    change
        Of the atoms, shape (atoms, kinds, vectors).
    image
        Shape (rows, columns, vectors).
    into_image
        Which of the two is changed in place: the image, or else the change, by the transposed map.
    """
    edge = 2 * half + 1
    made, lines = np.empty((kinds.size, edge, edge)), np.empty((6, weight.shape[1], edge))
    for i in range(place.shape[0]):
        s = sort[i]
        low, left = _window(place[i], height[i], width[i], weight[s], spread[s], half, kinds, lines, made)
        for row in range(max(low, 0), min(low + edge, image.shape[0])):
            for column in range(max(left, 0), min(left + edge, image.shape[1])):
                for a in range(kinds.size):
                    value = made[a, row - low, column - left]
                    if into_image:
                        for v in range(image.shape[2]):
                            image[row, column, v] += value * change[i, a, v]
                    else:
                        for v in range(image.shape[2]):
                            change[i, a, v] += value * image[row, column, v]


@njit(nogil=True, cache=True)
def weigh(derivative: F64, corner: I64, weight: F64) -> F64:
    """Return derivative windows (atoms, kinds, edge, edge) times the weights of the pixels, zero outside the image."""
    made = np.zeros_like(derivative)
    edge = derivative.shape[2]
    for i in range(derivative.shape[0]):
        low, left = corner[i]
        for row in range(max(low, 0), min(low + edge, weight.shape[0])):
            for column in range(max(left, 0), min(left + edge, weight.shape[1])):
                for a in range(derivative.shape[1]):
                    made[i, a, row - low, column - left] = (
                        derivative[i, a, row - low, column - left] * weight[row, column]
                    )
    return made


@njit(nogil=True, cache=True, fastmath={"reassoc", "contract"})
def own_blocks(derivative: F64, weighed: F64) -> F64:
    """Return the information of each atom on its own: (atoms, kinds, kinds)."""
    count, kinds, edge, _ = derivative.shape
    made = np.zeros((count, kinds, kinds))
    for i in range(count):
        for a in range(kinds):
            for b in range(kinds):
                total = 0.0
                for row in range(edge):
                    for column in range(edge):
                        total += derivative[i, a, row, column] * weighed[i, b, row, column]
                made[i, a, b] = total
    return made
