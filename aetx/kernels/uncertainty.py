"""Error bars of a joint fit: covariances from its Fisher matrix, exact or drawn, and what its residuals add to them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aetx.kernels import bound, fisher
from aetx.kernels.mixtures import radius
from aetx.kernels.refinement import Free, Linear, conjugate_gradients

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

BEYOND = 5e-4
"""Part of the information about a lone atom that may lie outside its window."""
TOLERANCE, STEPS = 0.02, 500
"""Residual, relative to the start, at which the equations of a random error count as solved, which takes 0.2 % off the
standard errors at most, and the most steps."""


@dataclass(frozen=True)
class Drawn:
    """Random errors of a joint fit, as the noise of the pixels makes them."""

    given: F64
    """What is left unknown of each atom when all else is known, (N, unknowns, unknowns)."""
    owed: F64
    """What each error owes to the errors of all else, (samples, N, unknowns)."""
    tilts: F64
    """Errors of the unknowns of the images, (samples, T, unknowns)."""
    sorts: F64
    """Errors of what the sorts share, (samples, sorts, unknowns)."""
    scores: F64
    """Derivatives of the log-likelihood by the place of each atom in each image, and by its relative height, that are
    left after the fit: (samples, T, N, 3)."""


def information_of(linear: Linear, weight: F64, spread: F64) -> bound.Information:
    """Return the Fisher information of a fit, for the exact covariance.

    Parameters
    ----------
    linear
        The fit at its end.
    weight, spread
        Gaussians whose sum is the profile of each sort, shape (sorts, Gaussians), spreads in angstrom; one of weight 1
        and spread 0 where an atom is a Gaussian itself.
    """
    state, scene = linear.state, linear.scene
    reach = max(radius(*pair, float(state.width.max()), BEYOND) for pair in zip(weight, spread, strict=True))
    places = np.array([np.stack(linear.places[tilt][:2], axis=1) for tilt in range(len(state.turned))])
    rows, columns = scene.shape
    made = fisher.Scene(
        places,
        np.outer(state.scale, state.height),
        state.width / scene.step,
        np.ascontiguousarray(state.sort, np.int64),
        weight,
        spread / scene.step,
        math.ceil(reach / scene.step),
        rows,
        columns,
    )
    known, _, known_images = linear.parts(linear.prior_information)
    turned = stretched(state.turned, state.stretch)
    free = free_of(linear.free)
    return bound.Information(made, state.position, turned, scene.step, linear.weight, free, known, known_images)


def free_of(free: Free) -> bound.Free:
    """Return what a fit frees in the words of the bound; positions are always free."""
    return bound.Free(free.angles, free.shifts, free.scale, free.heights, free.widths, free.background, free.distortion)


def stretched(turned: F64, stretch: F64) -> F64:
    """Return R of each image with its in-plane distortion, so that r R is what the image shows: (T, 3, 3)."""
    made = turned.copy()
    xx, yy, xy = (one[:, None] for one in stretch.T)
    made[:, :, 0] = turned[:, :, 0] * (1.0 + xx) + turned[:, :, 1] * xy
    made[:, :, 1] = turned[:, :, 1] * (1.0 + yy) + turned[:, :, 0] * xy
    return made


def memory_of(atoms: int, free: Free) -> int:
    """Return the bytes of the exact covariance: the whole matrix once."""
    return 8 * (atoms * len(free.of_atom)) ** 2


def exact(linear: Linear, weight: F64, spread: F64) -> bound.Bound:
    """Return the covariance of a fit by factorizing its whole Fisher matrix.

    The nuisances of the images are eliminated, and what no image tells (a turn, a translation, the height of all) is
    taken out: the covariance is that after rigid alignment. See `bound.exact`, and `information_of` for the parameters.
    """
    return bound.exact(information_of(linear, weight, spread))


def draw(linear: Linear, weight: F64, spread: F64, samples: int, seed: int) -> Drawn:
    """Draw random errors of a fit: x with F x = noise, the noise of all pixels carried to the unknowns.

    Products with F go through the images in single precision; a turn and a translation of all atoms are taken out of
    the errors, as rigid alignment does.

    Parameters
    ----------
    linear
        The fit at its end.
    weight, spread
        Profiles, as for `information_of`.
    samples
        Number of random errors, at least 1.
    seed
        Of the random numbers; each image has its own stream, and the priors have the last one.

    References
    ----------
    G. Papandreou, A. Yuille, NIPS 23 (2010): perturbation sampling;
    P. Siden, F. Lindgren, D. Bolin, M. Villani (2017), https://arxiv.org/abs/1705.08656: the conditional mean.
    """
    count = len(linear.weight)
    streams = [np.random.default_rng(one) for one in np.random.SeedSequence(seed).spawn(count + 1)]
    information = information_of(linear, weight, spread)
    gauge, blocks = information.gauge(), information.own()
    if not (np.linalg.eigvalsh(blocks)[:, 0] > bound.SMALLEST * np.trace(blocks, axis1=1, axis2=2)).all():
        raise bound.UndeterminedError("what is free cannot be told from the images")
    inverse, given = bound.given_others(blocks, np.zeros((information.size, 0)), gauge)
    known = np.sqrt(linear.prior_information)
    drawn: list[tuple[F64, F64, F64, F64]] = []
    for _ in range(samples):
        noise = [
            one.standard_normal(linear.scene.shape, np.float32) * np.sqrt(each)
            for one, each in zip(streams, linear.weight, strict=False)
        ]
        score = linear.back(noise.__getitem__) + known * streams[-1].standard_normal(linear.size)
        found, taken = conjugate_gradients(linear, score, STEPS, TOLERANCE)
        if taken == STEPS:
            raise bound.UndeterminedError(f"conjugate gradients did not converge in {STEPS} steps")
        left = scores(linear, lambda tilt, x=found, made=noise: made[tilt] - _seen(linear, tilt, x))  # type: ignore[misc]
        atoms, sorts, tilts = (one.copy() for one in linear.parts(found))
        _align(linear, information.free, atoms, sorts, tilts)
        atoms -= np.einsum("ncd,nd->nc", inverse, linear.parts(score)[0])
        drawn.append((atoms, sorts, tilts, left))
    owed, sorts, tilts, left = (np.array(one) for one in zip(*drawn, strict=True))
    return Drawn(given, owed, tilts, sorts, left)


def covariance(drawn: Drawn) -> bound.Bound:
    """Return the covariance of a fit from random errors of it, at least 2, and how sure it is.

    See `bound.settled`: 2 samples tell the standard errors of a particle of 1,461 atoms to 1-2 %.
    """
    samples = len(drawn.owed)
    made, error = bound.settled(drawn.given, drawn.owed)
    total = (drawn.owed[:, :, :3] ** 2).sum(axis=(1, 2)).std(ddof=1) / np.sqrt(samples)
    whole = np.trace(made[:, :3, :3], axis1=1, axis2=2).sum()
    images = np.einsum("sta,stb->tab", drawn.tilts, drawn.tilts) / samples
    return bound.Bound(made, images, (drawn.sorts**2).mean(axis=0).T, error, float(total / whole))


def scores(linear: Linear, images: Callable[[int], F32]) -> F64:
    """Return the derivatives of the log-likelihood of each image by the place of each atom and its relative height.

    Parameters
    ----------
    linear
        The fit at its end.
    images
        What makes, of a tilt, its residuals (image less model) times their weights.

    Returns
    -------
    Along x and y of the image, and by the relative height, shape (T, N, 3).
    """
    return np.stack(linear.scene.each(lambda tilt: linear.gathered(tilt, images(tilt))[:, :3]))


def _seen(linear: Linear, tilt: int, vector: F64) -> F32:
    """Return what changes of the unknowns do to an image, times the weights of its pixels."""
    atoms, sorts, tilts = linear.parts(vector)
    return linear.image(tilt, *linear.moves(tilt, atoms, sorts, tilts[tilt])) * linear.weight[tilt]


def _align(linear: Linear, free: bound.Free, atoms: F64, sorts: F64, tilts: F64) -> None:
    """Take a turn, a translation and the height of all out of the errors of atoms, and put them into the images'."""
    state, names = linear.state, free.of_image
    columns, into = [], []
    for axis in np.eye(3):
        if free.angles:
            columns.append(np.cross(axis, state.position))
            into.append((names.index("turn_x"), state.turned.transpose(0, 2, 1) @ axis))
        if free.shifts:
            columns.append(np.tile(axis, (len(atoms), 1)))
            into.append((names.index("shift_x"), (state.turned.transpose(0, 2, 1) @ axis)[:, :2]))
    if columns:
        motions = np.stack(columns, axis=2).reshape(atoms.shape[0] * 3, -1)
        part = np.linalg.lstsq(motions, atoms[:, :3].ravel(), rcond=1e-9)[0]
        atoms[:, :3] -= (motions @ part).reshape(-1, 3)
        for size, (first, change) in zip(part, into, strict=True):
            tilts[:, first : first + change.shape[1]] += size * change
    if free.scale and free.heights != "fixed":
        column = names.index("scale")
        if free.heights == "shared":
            sorts[:, 0] += tilts[:, column].mean()
            tilts[:, column] -= tilts[:, column].mean()
        elif not np.isfinite(linear.prior.height):
            mean = atoms[:, 3].mean()
            atoms[:, 3] -= mean
            tilts[:, column] += mean
