"""Small clusters and their images, drawn in float64 by plain numpy and placed by scipy's rotations."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from aetx.kernels.refinement import F32, Scene, State

F64 = NDArray[np.float64]
STEP, BACKGROUND = 0.4, 2.0


def cluster(atoms: int, seed: int = 0, apart: float = 2.4) -> F64:
    """Places of atoms that are packed at random, none closer to another than a distance, about the origin."""
    generator = np.random.default_rng(seed)
    edge = apart * 1.1 * atoms ** (1 / 3)
    made: list[F64] = []
    while len(made) < atoms:
        one = generator.uniform(-edge / 2, edge / 2, 3)
        if all(np.linalg.norm(one - other) >= apart for other in made):
            made.append(one)
    return np.array(made) - np.mean(made, axis=0)


def turned(tilts: int, reach: float = 70.0, seed: int = 0, spread: float = 3.0) -> F64:
    """R = Rz(phi) Ry(theta) Rx(psi) of images about y, with small angles about the other axes."""
    phi, psi = np.random.default_rng(seed).normal(0, spread, (2, tilts))
    angles = np.stack([phi, np.linspace(-reach, reach, tilts), psi], axis=1)
    return Rotation.from_euler("ZYX", angles, degrees=True).as_matrix()


def state_of(position: F64, rotations: F64, height: float = 300.0, width: float = 0.5, sorts: int = 1) -> State:
    atoms, tilts = len(position), len(rotations)
    sort = np.arange(atoms, dtype=np.int64) % sorts
    return State(
        position,
        np.asarray(height * (1.0 + 0.5 * sort), np.float64),
        np.full(atoms, width),
        sort,
        np.arange(atoms, dtype=np.int64),
        rotations,
        np.zeros((tilts, 2)),
        np.ones(tilts),
        np.full(tilts, BACKGROUND),
        np.zeros((tilts, 3)),
    )


def scene_of(state: State, margin: float = 3.5, sorts: int = 1) -> Scene:
    """Noise-free images that hold a state, of odd and even edges, atoms being Gaussians."""
    edge = np.abs(state.position).max() * 1.2 + margin
    rows, columns = 2 * int(edge / STEP) + 1, 2 * int(edge / STEP) + 4
    corner = -STEP * np.array([columns // 2, rows // 2], float)
    empty = np.zeros((len(state.turned), rows, columns), np.float32)
    scene = Scene(empty, STEP, corner, [None] * sorts, 0, (rows, columns), np.zeros(sorts))
    return replace(scene, images=pictures(scene, state).astype(np.float32))


def pictures(scene: Scene, state: State, mixtures: Any = ((1.0, 0.0),)) -> F64:
    """Images of a state, shape (T, rows, columns); an atom is a sum of Gaussians (weight, further spread)."""
    rows, columns = scene.shape
    grid_x = scene.corner[0] + STEP * np.arange(columns)
    grid_y = scene.corner[1] + STEP * np.arange(rows)
    made = np.empty((len(state.turned), rows, columns))
    for tilt, rotation in enumerate(state.turned):
        seen = (rotation.T @ state.position.T)[:2]
        xx, yy, xy = state.stretch[tilt]
        x, y = np.array([[1 + xx, xy], [xy, 1 + yy]]) @ seen + state.shift[tilt][:, None]
        made[tilt] = state.background[tilt]
        for weight, spread in mixtures:
            wide = np.hypot(state.width, spread)[:, None]
            across, along = (
                np.exp(-0.5 * ((grid - place[:, None]) / wide) ** 2) * STEP / (np.sqrt(2 * np.pi) * wide)
                for grid, place in ((grid_x, x), (grid_y, y))
            )
            made[tilt] += np.einsum("n,ni,nj->ij", state.scale[tilt] * state.height * weight, along, across)
    return made


def disturbed(state: State, seed: int, *, position: float = 0.0, turn: float = 0.0, shift: float = 0.0) -> State:
    """Move atoms (standard deviation, angstrom), and turn and shift images (uniform within +-, degree, angstrom)."""
    generator = np.random.default_rng(seed)
    count = len(state.turned)
    by = Rotation.from_euler("ZYX", generator.uniform(-turn, turn, (count, 3)), degrees=True).as_matrix()
    return replace(
        state,
        position=state.position + generator.normal(0, position, state.position.shape) if position else state.position,
        turned=state.turned @ by,
        shift=state.shift + generator.uniform(-shift, shift, (count, 2)),
    )


def counted(images: F64, seed: int) -> F32:
    """Draw Poisson counts."""
    return np.random.default_rng(seed).poisson(images).astype(np.float32)


def apart(found: F64, truth: F64) -> float:
    """Root mean square distance of atoms after the best rigid alignment, angstrom."""
    here, there = found - found.mean(0), truth - truth.mean(0)
    by, _ = Rotation.align_vectors(there, here)
    return float(np.sqrt(((by.apply(here) - there) ** 2).sum(1).mean()))
