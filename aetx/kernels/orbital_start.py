"""Local orbitals on a bare grid become atoms: where the specimen is, heights that are not negative, orbitals merged."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.spatial import cKDTree

from aetx.kernels.refinement import Scene, State
from aetx.kernels.rendering import render
from aetx.kernels.sensitivity import collect, lines

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

SHARE = 0.1
"""Part of the bright pixels' height above the background from which on a ray is in the specimen."""
SEEN = 0.95
"""Part of the images in which a place of the specimen must lie in its picture."""
SPARSE = 1e-3
"""Price of a height, in units of the steepest slope at heights of zero."""
STEPS = 60
"""Steps of the fit of heights."""
WEAK = 0.1
"""Part of the 90th percentile of the sums of heights below which merged orbitals are no atom."""


def grid(scene: Scene, state: State, spacing: float) -> F64:
    """Return the points of a body-centred grid that lie in the specimen in nearly all images, angstrom, shape (N, 3).

    Parameters
    ----------
    scene, state
        Images and poses; atoms of the state play no part.
    spacing
        Distance of nearest points, angstrom.
    """
    edge = 2.0 * spacing / np.sqrt(3.0)
    rows, columns = scene.shape
    half = 0.5 * scene.step * np.hypot(rows, columns)
    axis = np.arange(-np.ceil(half / edge), np.ceil(half / edge) + 1) * edge
    corners = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    points = np.concatenate([corners, corners + edge / 2])
    points = points[np.linalg.norm(points, axis=1) <= half]
    hits = np.zeros(len(points))
    for tilt, image in enumerate(scene.images):
        smooth = gaussian_filter(image - np.float32(state.background[tilt]), spacing / scene.step)
        inside = (smooth > SHARE * np.percentile(smooth, 99)).astype(np.float32)
        seen = (points @ state.turned[tilt])[:, :2] + state.shift[tilt] - scene.corner
        hits += map_coordinates(inside, (seen / scene.step)[:, ::-1].T, order=0, mode="constant")
    return points[hits >= SEEN * len(scene.images)]


def heights(scene: Scene, state: State, position: F64, width: float) -> F64:
    """Return heights, none negative, with which Gaussians at fixed places explain the images, shape (N,).

    An accelerated projected gradient of sum (computed - measured)**2 / 2 plus a price on heights.

    Parameters
    ----------
    scene, state
        Images and poses; atoms of the state play no part.
    position, width
        Of the Gaussians, angstrom, shape (N, 3).

    Returns
    -------
    In units of the image times pixels.

    References
    ----------
    A. Beck, M. Teboulle, SIAM J. Imaging Sci. 2, 183 (2009), doi:10.1137/080716542.
    """
    places = []
    for tilt in range(len(scene.images)):
        seen = (position @ state.turned[tilt])[:, :2] + state.shift[tilt] - scene.corner
        places.append(np.ascontiguousarray((seen / scene.step).T))
    wide = np.full(len(position), width / scene.step)

    def image(tilt: int, height: F64) -> F32:
        made: F32 = render(*places[tilt], height * state.scale[tilt], wide, *scene.shape)
        return made

    def back(images: list[F32]) -> F64:
        def work(tilt: int) -> F64:
            x, y = places[tilt]
            found = collect(images[tilt], lines(x, y, wide, *scene.shape), np.ones(len(position)))
            return np.asarray(found[:, 2] * state.scale[tilt])

        return np.sum(scene.each(work), axis=0)

    measured = [one - np.float32(state.background[tilt]) for tilt, one in enumerate(scene.images)]
    pull = back(measured)
    probe = np.ones(len(position))
    largest = 1.0
    for _ in range(8):
        made = back(scene.each(lambda tilt: image(tilt, probe)))  # noqa: B023 - used within the turn
        largest = float(np.linalg.norm(made))
        probe = made / largest
    step, price = 1.0 / (1.05 * largest), SPARSE * float(pull.max())
    now = ahead = np.zeros(len(position))
    inertia = 1.0
    for _ in range(STEPS):
        at = ahead
        slope = back(scene.each(lambda tilt: image(tilt, at))) - pull + price  # noqa: B023 - used within the turn
        after = np.maximum(ahead - step * slope, 0.0)
        grown = 0.5 * (1.0 + np.sqrt(1.0 + 4.0 * inertia**2))
        ahead = after + (inertia - 1.0) / grown * (after - now)
        now, inertia = after, grown
    return now


def merged(position: F64, height: F64, distance: float) -> tuple[F64, F64, NDArray[np.int64]]:
    """Move orbitals to the centres of what is around them, and make those that meet one; drop those that are weak.

    Parameters
    ----------
    position, height
        Shapes (N, 3), angstrom, and (N,), not negative.
    distance
        Of nearest atoms, angstrom; orbitals within 0.6 of it meet.

    Returns
    -------
    Positions, heights summed, and how many orbitals met.
    """
    some = height > 1e-3 * height.max(initial=0.0)
    points, weight = position[some], height[some]
    near = cKDTree(points)
    radius = 0.45 * distance
    moved = points.copy()
    for _ in range(15):
        around = near.query_ball_point(moved, radius)
        for i, these in enumerate(around):
            if these:
                falls = weight[these] * np.exp(
                    -((np.linalg.norm(points[these] - moved[i], axis=1) / (0.5 * radius)) ** 2)
                )
                moved[i] = falls @ points[these] / falls.sum()
    order = np.argsort(-weight, kind="stable")
    place, total, count = [], [], []
    left = np.ones(len(points), bool)
    meeting = cKDTree(moved)
    for i in order:
        if not left[i]:
            continue
        group = np.array([k for k in meeting.query_ball_point(moved[i], 0.6 * distance) if left[k]])
        left[group] = False
        total.append(float(weight[group].sum()))
        place.append(weight[group] @ moved[group] / total[-1])
        count.append(len(group))
    sums = np.array(total)
    strong = sums >= WEAK * np.percentile(sums, 90) if sums.size else np.zeros(0, bool)
    return np.reshape(place, (-1, 3))[strong], sums[strong], np.array(count, np.int64)[strong]
