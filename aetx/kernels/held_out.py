"""What images that a fit has not seen say about it: which freedom pays, and which atoms are real."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from aetx.kernels.refinement import F32, F64, Fitted, Free, Noise, Plan, Prior, Scene, State, fit
from aetx.kernels.sites import at, evidence

POSES = Free(heights="fixed", widths="fixed", positions=False)
"""What is fitted to held-out images: where they are seen from, and how bright they are, never the atoms."""
BINS, LEAST = 24, 50
"""Classes of pixels by their expected value, and the fewest pixels of one, from which the noise is estimated."""
PASSES = 4
"""Times that the line is fitted, weighted each time by the last one."""
FLOOR = 0.02
"""Least offset of the variance, in electrons: a pixel that expects none may hold one."""


def estimated(scene: Scene, models: F32, unknowns: int, least: float) -> Noise:
    """Return the gain and offset of variance = gain * (mean + offset) from what a fit leaves over.

    Parameters
    ----------
    scene
        The images.
    models
        Images of the fitted atoms, shape (T, rows, columns).
    unknowns
        That were fitted; their share of the pixels with signal is what the residuals are too small by.
    least
        Mean of the darkest pixels: 0, or below where too much background was taken off.
    """
    seen = np.ones(models.shape, bool) if scene.seen is None else scene.seen > 0
    mean = np.maximum(models[seen].astype(np.float64) - least, 0)
    square = (scene.images[seen].astype(np.float64) - models[seen]) ** 2
    edges = np.unique(np.quantile(mean, np.linspace(0, 1, BINS + 1)))
    place = np.clip(np.searchsorted(edges, mean, side="right") - 1, 0, max(edges.size - 2, 0))
    count = np.bincount(place, minlength=max(edges.size - 1, 1))
    used = count >= LEAST
    level, variance = (np.bincount(place, one)[used] / count[used] for one in (mean, square))
    lit = float((mean > 0.05 * mean.max(initial=0)).sum())
    variance /= max(1.0 - unknowns / max(lit, unknowns + 1.0), 0.1)
    gain, base = float((count[used] * variance).sum() / max((count[used] * level).sum(), 1e-30)), 0.0
    for _ in range(PASSES):
        expected = gain * level + base + FLOOR * gain**2
        # the variance of a squared residual of gain * Poisson counts, of variance `expected`
        gain, base = _line(level, variance, count[used] / (2.0 * expected**2 + gain**2 * expected))
    return Noise(gain, max(base / gain, FLOOR * gain) - least, least=least)


def _line(x: F64, y: F64, weight: F64) -> tuple[float, float]:
    """Return slope and intercept of a weighted line, both kept from falling below zero."""
    total = weight.sum()
    mx, my = float((weight * x).sum() / total), float((weight * y).sum() / total)
    spread = float((weight * (x - mx) ** 2).sum())
    slope = float((weight * (x - mx) * (y - my)).sum()) / spread if spread > 0 else 0.0
    if slope <= 0:
        return max(1e-6 * my / max(mx, 1e-30), 1e-30), my
    if my < slope * mx:
        return float((weight * x * y).sum() / (weight * x * x).sum()), 0.0
    return slope, my - slope * mx


@dataclass(frozen=True)
class Split:
    """Images that are fitted and images that are held out."""

    work: NDArray[np.integer]
    free: NDArray[np.integer]


def split(count: int, held_out: int) -> Split:
    """Return a split that holds out images at even steps, never the outermost ones in their order."""
    if held_out < 1:
        return Split(np.arange(count), np.zeros(0, np.int64))
    free = np.unique(np.round((np.arange(held_out) + 0.5) * count / held_out - 0.5).astype(np.int64))
    return Split(np.setdiff1d(np.arange(count), free), free)


def joined(parts: Split, work: State, free: State) -> State:
    """Return the atoms of a fit with the poses of all images: its own, and those of the images that were held out."""
    if not parts.free.size:
        return work
    made = {}
    for name in ("turned", "shift", "scale", "background", "stretch"):
        own = getattr(work, name)
        values = np.empty((len(parts.work) + len(parts.free), *own.shape[1:]))
        values[parts.work], values[parts.free] = own, getattr(free, name)
        made[name] = values
    return replace(work, **made)


def judged(scene: Scene, state: State, free: Free, noise: Noise, prior: Prior | None, start: State) -> Fitted:
    """Return the fit of held-out images by atoms that do not move: only poses and intensities of the images do."""
    poses = replace(
        POSES,
        angles=free.angles,
        shifts=free.shifts,
        scale=free.scale,
        background=free.background,
        distortion=free.distortion,
    )
    return fit(scene, state, poses, noise, Plan(rounds=4, inner=12, tolerance=1e-3), prior, start)


def gain_of_atoms(scene: Scene, state: State, models: F32, noise: Noise) -> F64:
    """Return by how much the deviance of images would rise without each atom, its neighbours as they are, (N,)."""
    made = np.zeros(len(state.position))
    tilts = range(len(state.turned))
    for sort in np.unique(state.sort):
        members = np.flatnonzero(state.sort == sort)
        width = float(np.median(state.width[members]))
        told = evidence(scene, state, models, noise, int(sort), width)
        score, information = at(scene, state, told, state.position[members], tilts)
        height = state.height[members]
        made[members] = height**2 * information + 2.0 * height * score
    return made
