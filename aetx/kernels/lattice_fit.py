"""A lattice fitted to the atoms on its sites, with its covariance and that of what is left."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aetx.kernels.rotation import nearest_rotation

F64 = NDArray[np.float64]
Mask = NDArray[np.bool_]

ROUNDS = 50
"""Most Gauss-Newton steps."""
SETTLED = 1e-12
"""Step of the turn (radian) and of the logarithm of the scale at which they end."""
FLAT = 1e-6
"""Least extent of sites over their largest, below which they lie in a plane or line."""


@dataclass(frozen=True)
class Fit:
    """Positions r = origin + x @ matrix of ideal sites x, in D dimensions.

    `matrix` is of shape (D, D), `covariance` that of origin and matrix together, row after row, of shape
    (D + D**2, D + D**2); NaN where nothing tells how large errors are. `residual` is r - origin - x @ matrix, shape
    (atoms, D), `residual_covariance` of shape (atoms, D, D) has the errors of the fit in it, and is NaN where the
    atom's own is not known. `disorder` is the standard deviation along each axis of what the errors of the atoms do not
    explain; it is 0 where they explain all.
    """

    origin: F64
    matrix: F64
    covariance: F64
    residual: F64
    residual_covariance: F64
    disorder: float

    @property
    def rmsd(self) -> float:
        """Root mean square length of the residuals."""
        return math.sqrt(float((self.residual**2).sum(axis=1).mean()))

    @property
    def scale(self) -> float:
        """Geometric mean of the stretches of the matrix."""
        return float(abs(np.linalg.det(self.matrix)) ** (1 / len(self.matrix)))

    @property
    def scale_error(self) -> float:
        """Standard error of `scale`."""
        size = len(self.matrix)
        gradient = self.scale / size * np.linalg.inv(self.matrix).T.ravel()
        return _root(float(gradient @ self.covariance[size:, size:] @ gradient))

    @property
    def rotation(self) -> F64:
        """The rotation R nearest to the transposed matrix: R x is where the bond x of the crystal points."""
        u, _, vt = np.linalg.svd(self.matrix.T)
        return np.asarray(u @ vt)

    @property
    def turn_covariance(self) -> F64:
        """Covariance of the small turn by which `rotation` is off, radian**2.

        The turn is a vector along x, y, z; in two dimensions the one angle, shape (1, 1).
        """
        size = len(self.matrix)
        inverse = np.linalg.inv(self.matrix)
        rows = []
        for d, e in [(1, 2), (2, 0), (0, 1)] if size == 3 else [(0, 1)]:
            rate = np.zeros((size, size))  # of (L[e, d] - L[d, e]) / 2 with L.T = inverse @ change of the matrix
            rate[:, e] += 0.5 * inverse[d]
            rate[:, d] -= 0.5 * inverse[e]
            rows.append(rate.ravel())
        rates = np.array(rows)
        return np.asarray(rates @ self.covariance[size:, size:] @ rates.T)


def fit(position: F64, ideal: F64, covariance: F64 | None, affine: bool) -> Fit:
    """Fit a lattice by least squares, weighted by the errors of the atoms and by how far they are from sites anyway.

    The weight of an atom is the inverse of C + s**2 I, C its covariance and s the `disorder`, found from the mean
    square residual; without disorder this is the estimate of least variance, and without covariances the plain one.
    The covariance of the fit is that which the errors of the atoms carry into it; where those are not known, it
    follows from the scatter of the residuals, as if they were errors.

    Parameters
    ----------
    position
        Shape (atoms, D), angstrom; D is 2 or 3.
    ideal
        Sites of the crystal, shape (atoms, D), in any unit.
    covariance
        Of the positions, shape (atoms, D, D), NaN where not known; those atoms weigh like the mean of the others.
    affine
        Whether the matrix is free, rather than a rotation times a scale. Sites in a plane or on a line always have the
        latter.

    References
    ----------
    S. Umeyama, IEEE Trans. Pattern Anal. Mach. Intell. 13, 376 (1991), doi:10.1109/34.88573.
    """
    atoms, size = position.shape
    middle = ideal.mean(axis=0)
    extent = np.linalg.svd(ideal - middle, compute_uv=False)
    affine = affine and bool(extent[-1] > FLAT * extent[0])
    if covariance is None:
        return _plain(position, ideal, middle, affine)
    known: Mask = np.asarray(np.isfinite(covariance).reshape(atoms, -1).all(axis=1))
    if not known.any():
        return _plain(position, ideal, middle, affine)
    error = np.where(known[:, None, None], covariance, covariance[known].mean(axis=0))
    made, disorder = _similar(position, ideal), 0.0
    free = size + size**2 if affine else size + 1 + size * (size - 1) // 2
    for _ in range(ROUNDS):
        weight = _inverse(error + disorder**2 * np.eye(size))
        made = _weighted(position, ideal, middle, weight, made, affine)
        square = float(((position - made[0] - ideal @ made[1]) ** 2).sum()) / max(size * atoms - free, 1)
        before, disorder = disorder, math.sqrt(max(0.0, square - float(np.trace(error.mean(axis=0))) / size))
        if abs(disorder - before) <= 1e-6 * math.sqrt(square):
            break
    weight = _inverse(error + disorder**2 * np.eye(size))
    made = _weighted(position, ideal, middle, weight, made, affine)
    tangent = _tangent(made[1], affine)
    system = _gathered(ideal - middle, weight)
    gain = tangent @ np.linalg.inv(tangent.T @ system @ tangent) @ tangent.T
    spread = gain @ _gathered(ideal - middle, weight @ error @ weight) @ gain
    residual = position - made[0] - ideal @ made[1]
    carried = _seen(ideal - middle, gain) @ weight @ error
    left = error - carried - carried.transpose(0, 2, 1) + _seen(ideal - middle, spread)
    left[~known] = np.nan
    return Fit(made[0], made[1], _moved(spread, middle), residual, left, disorder)


def _plain(position: F64, ideal: F64, middle: F64, affine: bool) -> Fit:
    """Fit without known errors: these follow from the residuals."""
    atoms, size = position.shape
    weight = np.tile(np.eye(size), (atoms, 1, 1))
    made = _weighted(position, ideal, middle, weight, _similar(position, ideal), affine)
    tangent = _tangent(made[1], affine)
    residual = position - made[0] - ideal @ made[1]
    free = size * atoms - tangent.shape[1]
    square = float((residual**2).sum()) / free if free > 0 else math.nan
    system = tangent.T @ _gathered(ideal - middle, weight) @ tangent
    spread = square * tangent @ np.linalg.inv(system) @ tangent.T
    unknown = np.full((atoms, size, size), np.nan)
    return Fit(made[0], made[1], _moved(spread, middle), residual, unknown, math.sqrt(square))


def _similar(position: F64, ideal: F64) -> tuple[F64, F64]:
    """Return origin and scaled rotation of plain least squares: never a reflection."""
    centre, middle = position.mean(axis=0), ideal.mean(axis=0)
    product = (ideal - middle).T @ (position - centre)
    turn = nearest_rotation(product)
    matrix = float((turn * product).sum() / ((ideal - middle) ** 2).sum()) * turn
    return np.asarray(centre - middle @ matrix), np.asarray(matrix)


def _weighted(
    position: F64, ideal: F64, middle: F64, weight: F64, start: tuple[F64, F64], affine: bool
) -> tuple[F64, F64]:
    """Return origin and matrix of weighted least squares, by Gauss-Newton steps that turn and scale the matrix."""
    size = len(middle)
    origin, matrix = start[0] + middle @ start[1], start[1]
    away = ideal - middle
    system = _gathered(away, weight)
    along = np.concatenate([np.ones((len(away), 1)), away], axis=1)
    for _ in range(ROUNDS):
        residual = position - origin - away @ matrix
        slope = (along.T @ np.einsum("nij,nj->ni", weight, residual)).ravel()
        tangent = _tangent(matrix, affine)
        step = np.linalg.solve(tangent.T @ system @ tangent, tangent.T @ slope)
        origin = origin + step[:size]
        if affine:
            matrix = matrix + step[size:].reshape(size, size)
            break
        matrix = math.exp(step[size]) * matrix @ _rotation(step[size + 1 :]).T
        if np.abs(step[size:]).max() < SETTLED:
            break
    return origin - middle @ matrix, matrix


def _tangent(matrix: F64, affine: bool) -> F64:
    """Return how origin and matrix follow the free parameters: origin, and matrix, or its scale and its turn."""
    size = len(matrix)
    full = size + size**2
    if affine:
        return np.eye(full)
    turns = [(2, 1), (0, 2), (1, 0)] if size == 3 else [(1, 0)]
    made = np.zeros((full, size + 1 + len(turns)))
    made[:size, :size] = np.eye(size)
    made[size:, size] = matrix.ravel()
    for column, (d, e) in enumerate(turns):
        turn = np.zeros((size, size))
        turn[d, e], turn[e, d] = 1.0, -1.0
        made[size:, size + 1 + column] = (matrix @ turn.T).ravel()
    return made


def _rotation(turn: F64) -> F64:
    """Return the rotation by a vector (radian), or by one angle in the plane."""
    angle = float(np.linalg.norm(turn))
    if len(turn) == 1:
        cosine, sine = math.cos(turn[0]), math.sin(turn[0])
        return np.array([[cosine, -sine], [sine, cosine]])
    cross = np.array([[0, -turn[2], turn[1]], [turn[2], 0, -turn[0]], [-turn[1], turn[0], 0]])
    half = math.sin(angle / 2) ** 2 * 2 / angle**2 if angle > 0 else 0.5
    return np.asarray(np.eye(3) + np.sinc(angle / math.pi) * cross + half * cross @ cross)


def _gathered(away: F64, weight: F64) -> F64:
    """Return the sum over atoms of the outer square of (1, x) times a matrix of each, as one square matrix."""
    atoms, size = away.shape
    along = np.concatenate([np.ones((atoms, 1)), away], axis=1)
    square = (along[:, :, None] * along[:, None, :]).reshape(atoms, -1)
    found = (square.T @ weight.reshape(atoms, -1)).reshape(size + 1, size + 1, size, size)
    return np.ascontiguousarray(found.transpose(0, 2, 1, 3)).reshape(size + size**2, size + size**2)


def _seen(away: F64, spread: F64) -> F64:
    """Return the covariance of each site where that of origin and matrix is given, shape (atoms, D, D)."""
    atoms, size = away.shape
    along = np.concatenate([np.ones((atoms, 1)), away], axis=1)
    square = (along[:, :, None] * along[:, None, :]).reshape(atoms, -1)
    blocks = spread.reshape(size + 1, size, size + 1, size).transpose(0, 2, 1, 3).reshape((size + 1) ** 2, size**2)
    return np.asarray((square @ blocks).reshape(atoms, size, size))


def _moved(spread: F64, middle: F64) -> F64:
    """Return the covariance for an origin at x = 0 in place of one at the middle of the sites."""
    size = len(middle)
    shift = np.eye(size + size**2)
    for d in range(size):
        shift[d, size + d :: size] = -middle
    return np.asarray(shift @ spread @ shift.T)


def _inverse(matrix: F64) -> F64:
    return np.asarray(np.linalg.inv(matrix), np.float64)


def _root(square: float) -> float:
    return math.sqrt(square) if square >= 0 else math.nan
