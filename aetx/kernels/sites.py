"""Where atoms may be missing, and how much each atom explains: images that fitted atoms leave over, seen in 3D."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.fft import irfft2, next_fast_len, rfft2
from scipy.spatial import cKDTree

from aetx.kernels.refinement import Noise, Scene, State
from aetx.kernels.rendering import render

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

FINE = 0.42
"""Step of the grid on which sites are looked for, angstrom: half a step takes 6 % off the peak of a usual atom."""
SLAB = 8
"""Planes of the grid that are looked at together."""


OFF, LEAST, MOST = 1.4, 0.05, 1.0
"""How far from an atom is looked where none is, in separations, and the least and the most that may be left."""
MEDIAN = 0.4549
"""Of the square of a normal variable of variance 1."""


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
    here = _alone(state, place)
    for tilt in tilts:
        x, y = scene.place(here, tilt)
        _add_at(x, y, found.score[tilt], found.information[tilt], score, information)
    return score, information


def left_over(scene: Scene, state: State, found: Evidence, separation: float) -> float:
    """Return which part of the information about a new atom is left once all others are fitted.

    They fit a part of the noise too: where no atom is, the squares of the score are by this part smaller than the
    information says. So much of the height of a missing atom, too, its neighbours do not take over. Where the atoms do
    not yet explain the images more is left over, which tells nothing of that: `MOST` then.
    """
    off = OFF * separation * np.concatenate([np.eye(3), -np.eye(3)])
    place = (state.position[:, None] + off).reshape(-1, 3)
    place = place[cKDTree(state.position).query(place)[0] > separation]
    score, information = at(scene, state, found, place, range(len(state.turned)))
    square = score[information > 0] ** 2 / information[information > 0]
    return float(np.clip(np.median(square) / MEDIAN, LEAST, MOST)) if square.size else MOST


def _alone(state: State, place: F64) -> State:
    """Return atoms of unit height at places, as images of a state see them."""
    one, none = np.ones(len(place)), np.zeros(len(place), np.int64)
    return replace(state, position=place, height=one, width=one, sort=none, number=none)


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


def _seen(scene: Scene, state: State, tilt: int, start: F64) -> tuple[F64, F64]:
    """Return where the first point of a grid shows, and how far one step along each axis goes: (2,), (3, 2), pixels."""
    points = np.concatenate([start[None], start + FINE * np.eye(3)])
    x, y = scene.place(_alone(state, points), tilt)
    seen = np.stack([x, y], axis=1)
    return seen[0], seen[1:] - seen[0]


@njit(nogil=True, cache=True)
def _mark(place: F64, reach: float, looked: NDArray[np.bool_]) -> None:
    """Mark the points of a grid within a distance of any place, both in steps of the grid."""
    for i in range(place.shape[0]):
        x, y, z = place[i]
        for a in range(max(0, math.ceil(x - reach)), min(looked.shape[0], math.floor(x + reach) + 1)):
            for b in range(max(0, math.ceil(y - reach)), min(looked.shape[1], math.floor(y + reach) + 1)):
                left = reach**2 - (a - x) ** 2 - (b - y) ** 2
                if left > 0:
                    half = math.sqrt(left)
                    first, last = max(0, math.ceil(z - half)), min(looked.shape[2], math.floor(z + half) + 1)
                    looked[a, b, first:last] = True


@njit(nogil=True, cache=True)
def _sweep(
    looked: NDArray[np.bool_], origin: F64, steps: F64, score: F32, information: F32, to_score: F64, to_information: F64
) -> None:
    """Add both images at the marked points of a grid, by straight lines between pixels; nothing outside."""
    rows, columns = score.shape
    for a in range(looked.shape[0]):
        for b in range(looked.shape[1]):
            x0 = origin[0] + a * steps[0, 0] + b * steps[1, 0]
            y0 = origin[1] + a * steps[0, 1] + b * steps[1, 1]
            for c in range(looked.shape[2]):
                if not looked[a, b, c]:
                    continue
                x, y = x0 + c * steps[2, 0], y0 + c * steps[2, 1]
                left, low = math.floor(x), math.floor(y)
                if left < 0 or low < 0 or left + 1 >= columns or low + 1 >= rows:
                    continue
                u, v = x - left, y - low
                p, q, r, s = (1 - u) * (1 - v), u * (1 - v), (1 - u) * v, u * v
                to_score[a, b, c] += (
                    p * score[low, left]
                    + q * score[low, left + 1]
                    + r * score[low + 1, left]
                    + s * score[low + 1, left + 1]
                )
                to_information[a, b, c] += (
                    p * information[low, left]
                    + q * information[low, left + 1]
                    + r * information[low + 1, left]
                    + s * information[low + 1, left + 1]
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
    scene: Scene,
    state: State,
    found: Evidence,
    least: float,
    height: float,
    separation: float,
    reach: float,
    within: F64,
) -> Candidates:
    """Return the maxima of the significance near some places that exceed a least one and a least height.

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
    reach, within
        How far from which places is looked, angstrom, (places, 3).
    """
    low, high = within.min(0) - reach, within.max(0) + reach
    axes = [np.arange(low[k], high[k] + FINE, FINE) for k in range(3)]
    shape = (axes[0].size, axes[1].size, axes[2].size)
    looked = np.zeros(shape, np.bool_)
    _mark((within - low) / FINE, reach / FINE, looked)

    def work(first: int) -> tuple[F32, F32]:
        part = looked[first : first + SLAB]
        score, information = np.zeros(part.shape), np.zeros(part.shape)
        start = np.array([axes[0][first], axes[1][0], axes[2][0]])
        for tilt in range(len(state.turned)):
            origin, steps = _seen(scene, state, tilt, start)
            _sweep(part, origin, steps, found.score[tilt], found.information[tilt], score, information)
        root = np.sqrt(np.maximum(information, 1e-30))
        return (score / root).astype(np.float32), (score / root**2).astype(np.float32)

    slabs = scene.over(range(0, shape[0], SLAB), work)
    significance, own = (np.concatenate([slab[k] for slab in slabs]) for k in range(2))
    near = cKDTree(state.position)
    where = peaks(significance, (significance >= least) & (own >= height))
    places = low + FINE * (where + between(significance, looked, where))
    z, h = significance[tuple(where.T)], own[tuple(where.T)]
    free = near.query(places)[0] >= separation if len(places) else np.zeros(0, bool)
    order = np.flatnonzero(free)[np.argsort(-z[free], kind="stable")]
    kept: list[int] = []
    for i in order:
        if all(np.linalg.norm(places[i] - places[k]) >= separation for k in kept[-400:]):
            kept.append(int(i))
    return Candidates(places[kept], z[kept], h[kept])


def between(values: F32, known: NDArray[np.bool_], where: NDArray[np.intp]) -> F64:
    """Return how far a parabola along each axis puts the maximum from a point of a grid, in steps, shape (points, 3).

    Zero where a neighbour is beyond the grid, or not known.
    """
    made = np.zeros(where.shape)
    last = np.array(values.shape) - 1
    here = values[tuple(where.T)].astype(np.float64)
    for axis, step in enumerate(np.eye(3, dtype=np.intp)):
        inside = ((where - step >= 0) & (where + step <= last)).all(axis=1)
        before, after = tuple(np.maximum(where - step, 0).T), tuple(np.minimum(where + step, last).T)
        bend = 2.0 * here - values[before] - values[after]
        use = inside & known[before] & known[after] & (bend > 0)
        np.divide(0.5 * (values[after] - values[before]), bend, out=made[:, axis], where=use)
    return np.clip(made, -0.5, 0.5)


def peaks(values: F32, wanted: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Return which of the wanted points of a grid none of their 26 neighbours exceeds, shape (peaks, 3)."""
    where = np.argwhere(wanted)
    last = np.array(values.shape) - 1
    here = values[tuple(where.T)]
    highest = np.ones(len(where), bool)
    for step in product((-1, 0, 1), repeat=3):
        beside = np.clip(where + step, 0, last)
        highest &= values[tuple(beside.T)] <= here
    return where[highest]
