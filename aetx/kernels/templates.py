"""The neighbours of an atom in the crystals that it is compared with."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from aetx.kernels.bonds import crystal

F64 = NDArray[np.float64]


@dataclass(frozen=True)
class Template:
    """Neighbours of an atom in a crystal whose nearest neighbours are at distance 1.

    `points` has shape (neighbours, 3), the `inner` first ones being the first shell. `frames`, shape (ways, 3, 3), are
    the ways to lay two neighbours at an angle of cosine `cosine` on points of the inner shell, up to rotations of the
    template. `group` are the rotations of the crystal, shape (rotations, 4), as quaternions x, y, z, w. `cutoff` is
    where the next shell begins to be nearer than this one.
    """

    points: F64
    inner: int
    cosine: float
    frames: F64
    group: F64
    cutoff: float


@cache
def template(name: str) -> Template:
    """Return the template of a structure: fcc, hcp, bcc, ico, sc or diamond."""
    if name == "ico":
        golden = (1 + math.sqrt(5)) / 2
        points = np.array([np.roll((0, a, b * golden), k) for a in (-1, 1) for b in (-1, 1) for k in range(3)], float)
        inner, cutoff = 12, 1.38
    else:
        found = crystal(name, 1.0, math.sqrt(8 / 3))
        points, inner = found.bonds, len(found.bonds)
        cutoff = found.cutoff / found.shortest
    if name == "bcc":
        points, inner = points[np.argsort(np.linalg.norm(points, axis=1), kind="stable")], 8
    if name == "diamond":
        outer = (points[:, None] - points)[~np.eye(4, dtype=bool)]
        points = np.concatenate([points, outer])
    points = points / np.linalg.norm(points, axis=1).min()
    own = _rotations(points)
    both = _rotations(np.unique(np.round(np.concatenate([points, -points]), 9), axis=0))
    cosine = {"fcc": 0.5, "hcp": 0.5, "bcc": 1 / 3, "ico": 1 / math.sqrt(5), "sc": 0.0, "diamond": -1 / 3}[name]
    group = Rotation.from_matrix(own if name == "ico" else both).as_quat()
    return Template(points, inner, cosine, _frames(points[:inner], cosine, own), group, cutoff)


def _rotations(points: F64) -> F64:
    """Return the rotations that take a set of points to itself, shape (rotations, 3, 3)."""
    shape = points @ points.T
    second = int(np.abs(shape[0] - 0.3 * shape[0, 0]).argmin())
    made = []
    for a in range(len(points)):
        for b in range(len(points)):
            if np.allclose(
                [shape[a, a], shape[b, b], shape[a, b]], [shape[0, 0], shape[second, second], shape[0, second]]
            ):
                turn = _frame(points[a], points[b]) @ _frame(points[0], points[second]).T
                away = np.linalg.norm((points @ turn.T)[:, None] - points, axis=2).min(axis=1)
                made += [turn] if away.max() < 1e-6 else []
    return np.array(made)


def _frame(first: F64, second: F64) -> F64:
    """Return orthonormal columns along the sum and the difference of two directions, and across both."""
    first, second = first / np.linalg.norm(first), second / np.linalg.norm(second)
    along, apart = first + second, second - first
    along, apart = along / np.linalg.norm(along), apart / np.linalg.norm(apart)
    return np.stack([along, apart, np.cross(along, apart)], axis=1)


def _frames(points: F64, cosine: float, group: F64) -> F64:
    """Return the frames of ordered pairs at an angle, one for all that rotations take to each other."""
    size = points @ points.T
    made: list[F64] = []
    for a, b in np.argwhere(np.abs(size - cosine) < 1e-6):
        frame = _frame(points[a], points[b])
        if not any(np.allclose(turn @ one, frame) for one in made for turn in group):
            made.append(frame)
    return np.array(made)
