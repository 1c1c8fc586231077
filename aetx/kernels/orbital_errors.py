"""Error bars of a fit of local orbitals, from what the images leave over."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from aetx.kernels.model_error import drawn_to_mean
from aetx.kernels.orbital_fit import Metric, solve
from aetx.kernels.orbital_system import Data, Freedom, Total, each
from aetx.kernels.orbitals import SHIFT_X, TURN_X, Model, Told, Unknowns, View

F64 = NDArray[np.float64]


def drawn(model: Model, now: Unknowns, data: Data, free: Freedom, samples: int, inner: int, seed: int) -> F64:
    """Draw errors of the positions: what the fit would have made of images whose residuals had other signs.

    What an image leaves over, noise and what the model does not know alike, keeps its size and its shape; only its sign
    as a whole is drawn. So nothing needs to be known of the noise, only that images err independently. Probes stay.

    Parameters
    ----------
    model, now, data, free
        A fit at its end.
    samples
        Number of errors.
    inner
        Most products with the matrix for each.
    seed
        Of the signs.

    Returns
    -------
    Moves of the atoms without a translation and a turn of all, where images cannot tell those: (samples, N, 3).

    References
    ----------
    A. C. Cameron, J. B. Gelbach, D. L. Miller, Rev. Econ. Stat. 90, 414 (2008), doi:10.1162/rest.90.3.414.
    """
    free = replace(free, probes=False)
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], (samples, len(data.image)))
    totals = [Total(model, now, False) for _ in range(samples)]

    def work(view: View) -> Told:
        return view.gather(data.weighed(view.index, view.image() - data.image[view.index]), False)

    for index, told in each(model, now, data, work, data.used):
        for total, sign in zip(totals, signs[:, index], strict=True):
            total.add(index, Told(sign * told.position, sign * told.height, sign * told.width, sign * told.tilt, None))
    metric = Metric(model, now, data, free)
    made = [solve(model, now, data, free, metric, one.finished(), 0.0, inner).position for one in totals]
    return np.array([_without_motion(now.position, one, free) for one in made])


def covariance(errors: F64) -> F64:
    """Return the covariance of each position from a few drawn errors, angstrom**2, (samples, N, 3) to (N, 3, 3).

    Its shape is the mean over all atoms. Its size is the atom's own, drawn towards the mean as far as so few samples
    scatter (empirical Bayes).
    """
    samples, atoms, _ = errors.shape
    shape = np.einsum("sna,snb->ab", errors, errors) / max(samples * atoms, 1)
    if atoms == 0 or not np.trace(shape) > 0:
        return np.zeros((atoms, 3, 3))
    inverse = np.linalg.pinv(shape)
    size = np.einsum("sna,ab,snb->n", errors, inverse, errors) / (3 * samples)
    chance = 2.0 * float(size.mean()) ** 2 / (3 * samples)
    made: F64 = drawn_to_mean(size, chance)[:, None, None] * shape
    return made


def _without_motion(position: F64, moved: F64, free: Freedom) -> F64:
    """Return moves without the translation and the turn of all atoms that images whose poses are fitted cannot tell."""
    columns = []
    if free.tilt[SHIFT_X]:
        columns += [np.tile(axis, (len(position), 1)) for axis in np.eye(3)]
    if free.tilt[TURN_X]:
        columns += [np.cross(axis, position) for axis in np.eye(3)]
    if not columns:
        return moved
    motions = np.stack(columns, axis=2).reshape(moved.size, -1)
    part = np.linalg.lstsq(motions, moved.ravel(), rcond=1e-9)[0]
    return moved - (motions @ part).reshape(-1, 3)
