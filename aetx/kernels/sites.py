"""Where atoms may be missing, and how much each atom explains: images that fitted atoms leave over, seen in 3D."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.fft import irfft2, next_fast_len, rfft2
from scipy.ndimage import maximum_filter
from scipy.spatial import cKDTree

from aetx.kernels.refinement import Noise, Scene, State
from aetx.kernels.rendering import render

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

FINE = 0.42
"""Step of the grid on which sites are looked for, angstrom: half a step takes 6 % off the peak of a usual atom."""
SLAB = 1 << 22
"""Points of the grid that are looked at together."""


@dataclass(frozen=True)
class Evidence:
    """What images say about an atom of unit height at any place: (T, rows, columns) each.

    With the residual r, weights w and the picture P of an atom, `score` is sum(w r P) and `information` sum(w P**2).
    An atom of height h at a place changes the deviance by h**2 * information - 2 h * score, summed over the tilts.
    """

    score: F32
    information: F32


def evidence(scene: Scene, state: State, models: F32, noise: Noise, sort: int, width: float) -> Evidence:
    """Return what the residuals of some images say about an atom of a sort and a width in angstrom.

    The images of each tilt are divided by its scale, so that heights are those of `state`.
    """
    rows, columns = scene.shape
    half = math.ceil(6.0 * math.hypot(width, float(scene.effective[sort])) / scene.step) + 2
    tall, wide = (next_fast_len(size + 2 * half, real=True) for size in (rows, columns))
    picture = unit_picture(scene, sort, width, half)
    spectra = [rfft2(_centred(one, tall, wide)).real.astype(np.float32) for one in (picture, picture**2)]

    def work(tilt: int) -> tuple[F32, F32]:
        weight = noise.weight(tilt, models[tilt], scene.trusted(tilt))
        scale = np.float32(state.scale[tilt])
        pulled = weight * (scene.images[tilt] - models[tilt]) * scale
        made = []
        for image, spectrum in ((pulled, spectra[0]), (weight * scale**2, spectra[1])):
            padded = np.zeros((tall, wide), np.float32)
            padded[:rows, :columns] = image
            made.append(irfft2(rfft2(padded) * spectrum, (tall, wide))[:rows, :columns].astype(np.float32))
        return made[0], np.maximum(made[1], 0)

    found = scene.each(work)
    return Evidence(np.stack([one for one, _ in found]), np.stack([two for _, two in found]))


def unit_picture(scene: Scene, sort: int, width: float, half: int) -> F32:
    """Return the picture of an atom of unit height in the middle of a square of 2 * half + 1 pixels."""
    edge = 2 * half + 1
    centre = np.array([float(half)])
    arguments = np.ones(1), np.array([width / scene.step])
    transfer = scene.transfer[sort]
    if transfer is None:
        return render(centre, centre, *arguments, edge, edge)
    middle = np.array([float(scene.padded[0] // 2)]), np.array([float(scene.padded[1] // 2)])
    drawn = irfft2(rfft2(render(middle[1], middle[0], *arguments, *scene.padded)) * transfer, scene.padded)
    low, left = scene.padded[0] // 2 - half, scene.padded[1] // 2 - half
    if min(low, left) >= 0 and low + edge <= scene.padded[0] and left + edge <= scene.padded[1]:
        return np.ascontiguousarray(drawn[low : low + edge, left : left + edge])
    rows = np.clip(np.arange(edge) + low, 0, scene.padded[0] - 1)
    across = np.clip(np.arange(edge) + left, 0, scene.padded[1] - 1)
    return np.ascontiguousarray(drawn[np.ix_(rows, across)])


def _centred(picture: F32, tall: int, wide: int) -> F32:
    """Return a picture with its middle at index 0 of a larger periodic image."""
    half = picture.shape[0] // 2
    made = np.zeros((tall, wide), np.float32)
    made[: 2 * half + 1, : 2 * half + 1] = picture
    return np.roll(made, (-half, -half), (0, 1))


def at(scene: Scene, state: State, found: Evidence, place: F64, tilts: Sequence[int]) -> tuple[F64, F64]:
    """Return score and information at places, shape (places, 3) in angstrom, summed over some tilts: (places,) each."""
    score, information = np.zeros(len(place)), np.zeros(len(place))
    here = State(
        place,
        *(np.ones(len(place)),) * 2,
        *(np.zeros(len(place), np.int64),) * 2,
        state.turned,
        state.shift,
        state.scale,
        state.background,
        state.stretch,
    )
    for tilt in tilts:
        x, y = scene.place(here, tilt)
        _add_at(x, y, found.score[tilt], found.information[tilt], score, information)
    return score, information


@njit(nogil=True, cache=True)
def _add_at(x: F64, y: F64, score: F32, information: F32, to_score: F64, to_information: F64) -> None:
    """Add both images at places between pixels, by straight lines; nothing outside."""
    rows, columns = score.shape
    for i in range(x.size):
        left, low = math.floor(x[i]), math.floor(y[i])
        if left < 0 or low < 0 or left + 1 >= columns or low + 1 >= rows:
            continue
        u, v = x[i] - left, y[i] - low
        a, b, c, d = (1 - u) * (1 - v), u * (1 - v), (1 - u) * v, u * v
        to_score[i] += (
            a * score[low, left] + b * score[low, left + 1] + c * score[low + 1, left] + d * score[low + 1, left + 1]
        )
        to_information[i] += (
            a * information[low, left]
            + b * information[low, left + 1]
            + c * information[low + 1, left]
            + d * information[low + 1, left + 1]
        )


@dataclass(frozen=True)
class Candidates:
    """Places where an atom may be missing, the most significant first."""

    place: F64
    """Shape (places, 3), angstrom."""
    significance: F64
    """Score over its standard deviation."""
    height: F64
    """What an atom there would be high by itself, units of `State.height`."""


def candidates(
    scene: Scene, state: State, found: Evidence, least: float, height: float, separation: float, margin: float
) -> Candidates:
    """Return the maxima of the significance over the box of the atoms that exceed a least one and a least height.

    Parameters
    ----------
    scene, state, found
        Images, atoms that are fitted, and what they leave over.
    least
        Least significance.
    height
        Least height, units of `State.height`.
    separation
        Least distance from atoms and from more significant places, angstrom.
    margin
        How far beyond the outermost atoms is looked, angstrom.
    """
    tilts = range(len(state.turned))
    low, high = state.position.min(0) - margin, state.position.max(0) + margin
    axes = [np.arange(low[k], high[k] + FINE, FINE) for k in range(3)]
    shape = tuple(axis.size for axis in axes)
    near = cKDTree(state.position)
    significance, own = np.zeros(shape), np.zeros(shape)
    rows = max(1, SLAB // (shape[1] * shape[2]))
    for first in range(0, shape[0], rows):
        part = slice(first, min(first + rows, shape[0]))
        places = np.stack(np.meshgrid(axes[0][part], axes[1], axes[2], indexing="ij"), axis=-1).reshape(-1, 3)
        score, information = at(scene, state, found, places, tilts)
        root = np.sqrt(np.maximum(information, 1e-30))
        size = (part.stop - part.start, *shape[1:])
        significance[part] = (score / root).reshape(size)
        own[part] = (score / root**2).reshape(size)
    peak = (maximum_filter(significance, 3) == significance) & (significance >= least) & (own >= height)
    where = np.argwhere(peak)
    places = np.stack([axes[k][where[:, k]] for k in range(3)], axis=1).reshape(-1, 3)
    z, h = significance[peak], own[peak]
    free = near.query(places)[0] >= separation if len(places) else np.zeros(0, bool)
    order = np.flatnonzero(free)[np.argsort(-z[free], kind="stable")]
    kept: list[int] = []
    for i in order:
        if all(np.linalg.norm(places[i] - places[k]) >= separation for k in kept[-400:]):
            kept.append(int(i))
    return Candidates(places[kept], z[kept], h[kept])
