"""Poses and shifts of images found by matching them to projections of what the others show."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import correlate1d, gaussian_filter
from scipy.spatial.transform import Rotation

from aetx.kernels.image_shift import F32, Flags, shifted
from aetx.kernels.projection import F64, Grid, Projector
from aetx.kernels.reconstruction import Scheme, descend, mean_of_seen, whole_rays

STEPS = 2
"""Gauss-Newton steps for each volume."""
SMOOTH = 1.5
"""Gaussian width, in steps of frequency, over which the power of the residuals is averaged."""
FLOOR = 1e-6
"""Least power of the residuals at any frequency, as a fraction of the mean."""
SLOPE = np.array([1.0, -8.0, 0.0, 8.0, -1.0]) / 12
"""Derivative by five points, exact for polynomials of fourth order."""
DAMPING = 0.7
"""Part of each change that is made: errors that alternate from tilt to tilt would swing for ever without."""
NUISANCE = 2
"""Unknowns before shift and turn: scale and background."""


@dataclass(frozen=True)
class Poses:
    """R of each image, shape (tilts, 3, 3), and where the rotation centre shows, shape (tilts, 2): x, y in pixels."""

    turned: F64
    shift: F64


@dataclass(frozen=True)
class Plan:
    """How to match.

    Attributes
    ----------
    rounds
        Most times that volumes are made and images matched to them.
    folds
        Parts of the series that are held out in turn.
    scheme
        How each volume is reconstructed.
    freedom
        Standard deviations before the fit: shift along x and y in pixels, turn about the camera's x, y, z in radian;
        0 for what is not free. Shape (5,).
    settled
        Changes of shift in pixels and of turn in radian below which the rounds end.
    whole
        Only rays that enter and leave the box by its faces in z count: for films.
    """

    rounds: int
    folds: int
    scheme: Scheme
    freedom: F64
    settled: tuple[float, float]
    whole: bool


@dataclass(frozen=True)
class Matched:
    """What was found.

    Attributes
    ----------
    poses
        The new ones.
    error
        Standard errors of shift along x and y, in pixels, and of the turn about the camera's x, y, z, in radian; NaN
        where not free. Shape (tilts, 5).
    asked
        What one more round would change in them, the same shape.
    misfit
        sum|image - projection| / sum|image| of each image, from a volume that did not know it, before the first round
        and after each: shape (at most rounds + 1, tilts).
    """

    poses: Poses
    error: F64
    asked: F64
    misfit: F64


def matched(images: F32, trusted: Flags, volume: Grid, image: Grid, start: Poses, plan: Plan, device: str) -> Matched:
    """Match each image to the projection of a volume made from the others, and repeat with the poses found.

    A part of the images is held out at a time. For small shifts s and turns w about the camera's axes, R' = R exp[w],
    the projection P of the volume changes by

        -s_x dP/dx - s_y dP/dy + w_y dD/dx - w_x dD/dy + w_z (x dP/dy - y dP/dx)

    with D the projection of depth times density, as no derivative along the beam survives the projection. These, a
    scale and a background are fitted in least squares, weighted at each spatial frequency by one over the power of the
    residuals of all images there, so that what the others cannot predict does not count. The covariance is
    H**-1 (sum of r**2 j j^T + prior) H**-1, with the weighted residual r and derivatives j and H = sum of j j^T +
    prior: it holds for noise and errors of prediction whose size varies over the image.

    The rounds end once the mean misfit of the held-out images does not fall, and the poses with the least are kept:
    errors that grow smoothly with the tilt are told weakly, and gather noise in each round.

    Images do not tell a turn and a translation of the whole specimen; these are kept as they were.

    Parameters
    ----------
    images
        As measured, shape (tilts, y, x).
    trusted
        Pixels that count, the same shape.
    volume, image
        Grids, in pixels from the rotation centre.
    start
        Where to begin.
    plan
        How to.
    device
        Where torch computes.
    """
    poses, misfits, best = start, [], np.inf
    kept, told, asked = start, np.full((len(images), 5), np.nan), np.zeros((len(images), 5))
    for number in range(plan.rounds + 1):
        moved = np.stack([shifted(one, -step) for one, step in zip(images, poses.shift, strict=True)])
        seen = trusted & whole_rays(poses.turned, image, volume) if plan.whole else trusted
        volumes = _held_out(moved, seen, volume, image, poses.turned, plan, device)
        change, error, misfit = _fit(moved, seen, volumes, poses, plan)
        misfits.append(misfit)
        mean = mean_of_seen(misfit)
        if number > 0 and not mean < best:
            break
        change = _without_gauge(change, poses.turned, plan.freedom > 0)
        best, kept, told, asked = mean, poses, error, change
        change = DAMPING * change
        poses = _changed(poses, change)
        if np.abs(change[:, :2]).max() < plan.settled[0] and np.abs(change[:, 2:]).max() < plan.settled[1]:
            break
    return Matched(kept, told, asked, np.array(misfits))


@dataclass(frozen=True)
class _Unseen:
    """A volume, and the images that it was made without."""

    volume: torch.Tensor
    box: Grid
    image: Grid
    held: NDArray[np.intp]
    device: str

    def projections(self, turned: F64) -> tuple[F32, F32]:
        """Return the projections P of the volume and D of depth times it, shape (tilts, y, x)."""
        projector = Projector(turned, self.box, self.image, self.device)
        plain = projector.images_out(projector.project(self.volume))
        deep = np.zeros_like(plain)
        sides = [start + torch.arange(size) for start, size in zip(self.box.start, self.box.shape, strict=True)]
        for axis, side in enumerate((sides[2][None, :, None], sides[1][None, None, :], sides[0][:, None, None])):
            part = projector.images_out(projector.project(self.volume * side.to(self.volume)))
            deep += turned[:, axis, 2].astype(np.float32)[:, None, None] * part
        return plain, deep


def _held_out(
    images: F32, trusted: Flags, volume: Grid, image: Grid, turned: F64, plan: Plan, device: str
) -> list[_Unseen]:
    rank = np.argsort(np.argsort(turned[:, 0, 2], kind="stable"), kind="stable")
    made = []
    for number in range(plan.folds):
        work, held = np.flatnonzero(rank % plan.folds != number), np.flatnonzero(rank % plan.folds == number)
        projector = Projector(turned[work], volume, image, device)
        seen = projector.images_in(trusted[work].astype(np.float32))
        values = projector.images_in(np.where(trusted[work], images[work], np.float32(0)))
        found = descend(projector, values, plan.scheme, momentum=True, trusted=seen)
        made.append(_Unseen(found.volume, volume, image, held, device))
    return made


def _fit(images: F32, trusted: Flags, volumes: list[_Unseen], poses: Poses, plan: Plan) -> tuple[F64, F64, F64]:
    """Return shift and turn that fit each image best, shape (tilts, 5), their errors, and R1 before."""
    count = len(images)
    change, error, misfit = np.zeros((count, 5)), np.full((count, 5), np.nan), np.zeros(count)
    for step in range(STEPS):
        here = _changed(Poses(poses.turned, np.zeros((count, 2))), change)
        plain, deep = np.empty_like(images), np.empty_like(images)
        for one in volumes:
            plain[one.held], deep[one.held] = one.projections(here.turned[one.held])
        for i in range(count):  # what was found so far moves the projection
            plain[i], deep[i] = shifted(plain[i], here.shift[i]), shifted(deep[i], here.shift[i])
        grid, together = volumes[0].image, zip(plain, deep, trusted, strict=True)
        columns = [_columns(one, depth, grid, seen) for one, depth, seen in together]
        residual = [_without_nuisance(*group) for group in zip(images, columns, trusted, strict=True)]
        weight = _weight(np.stack(residual))
        for i in range(count):
            found, error[i] = _solved(columns[i], residual[i], weight, plan.freedom, change[i])
            if step == 0:
                total = np.abs(images[i][trusted[i]]).sum(dtype=float)
                misfit[i] = np.abs(residual[i]).sum() / total if total > 0 else np.nan
            change[i] += found
    return change, error, misfit


def _columns(plain: F32, deep: F32, grid: Grid, seen: Flags) -> F64:
    """Return how an image changes with scale, background, shift x, y and turn about x, y, z: shape (7, y, x)."""
    y, x = (start + np.arange(size) for start, size in zip(grid.start, grid.shape, strict=True))
    down, right = _slopes(plain)
    deep_down, deep_right = _slopes(deep)
    turn = x * down - y[:, None] * right
    made = np.stack([plain, np.ones_like(plain), -right, -down, -deep_down, deep_right, turn]).astype(np.float64)
    return made * seen


def _slopes(image: F32) -> tuple[F64, F64]:
    wide = image.astype(np.float64)
    return correlate1d(wide, SLOPE, axis=0, mode="nearest"), correlate1d(wide, SLOPE, axis=1, mode="nearest")


def _without_nuisance(image: F32, columns: F64, seen: Flags) -> F64:
    """Return an image less the projection with the scale and background that fit best."""
    values = np.where(seen, image, 0).astype(np.float64)
    basis = columns[:NUISANCE].reshape(NUISANCE, -1)
    best = np.linalg.lstsq(basis.T, values.ravel(), rcond=None)[0]
    columns[NUISANCE:] *= best[0]
    return np.asarray(values - (best @ basis).reshape(values.shape))


def _weight(residual: F64) -> F64:
    """Return one over the root of the mean power of the residuals at each frequency, shape (y, x) as in fft2."""
    power = (np.abs(np.fft.fft2(residual)) ** 2).mean(axis=0)
    power = gaussian_filter(power, SMOOTH, mode="wrap")
    return np.asarray(1 / np.sqrt(np.maximum(power, FLOOR * float(power.mean()) + np.finfo(float).tiny)))


def _solved(columns: F64, residual: F64, weight: F64, freedom: F64, already: F64) -> tuple[F64, F64]:
    """Return the change of shift and turn, shape (5,), and their standard errors."""
    free = np.concatenate([np.ones(NUISANCE, bool), freedom > 0])
    size = np.sqrt(residual.size)  # spectra in units in which white residuals have variance one
    white = np.fft.ifft2(np.fft.fft2(columns[free]) * weight).real.reshape(free.sum(), -1) * size
    left = np.fft.ifft2(np.fft.fft2(residual) * weight).real.ravel() * size
    norm = np.sqrt((white**2).sum(axis=1))
    norm[norm == 0] = 1.0
    white /= norm[:, None]
    prior = np.zeros(free.sum())
    prior[NUISANCE:] = 1 / freedom[freedom > 0] ** 2
    prior /= norm**2
    before = np.concatenate([np.zeros(NUISANCE), already[freedom > 0]]) * norm
    normal = np.linalg.pinv(white @ white.T + np.diag(prior), hermitian=True)
    found = normal @ (white @ left - prior * before)
    spread = normal @ ((white * left**2) @ white.T + np.diag(prior)) @ normal
    change, error = np.zeros(5), np.full(5, np.nan)
    change[freedom > 0] = (found / norm)[NUISANCE:]
    error[freedom > 0] = (np.sqrt(np.diag(spread)) / norm)[NUISANCE:]
    return change, error


def _changed(poses: Poses, change: F64) -> Poses:
    turn = Rotation.from_rotvec(change[:, 2:]).as_matrix()
    return Poses(poses.turned @ turn, poses.shift + change[:, :2])


def _without_gauge(change: F64, turned: F64, free: Flags) -> F64:
    """Take from shifts what a translation of the specimen does, and from turns what a rotation of it does."""
    made = change.copy()
    if free[:2].all():
        made[:, :2] -= translation_of(change[:, :2], turned)
    if free[2:].all():
        made[:, 2:] -= np.einsum("tij,i->tj", turned, np.einsum("tij,tj->i", turned, change[:, 2:]) / len(turned))
    return made


def translation_of(shift: F64, turned: F64) -> F64:
    """Return the shifts, shape (tilts, 2), that one translation of the specimen makes, nearest to those given."""
    seen = turned.transpose(0, 2, 1)[:, :2].reshape(-1, 3)
    moved: F64 = seen @ np.linalg.lstsq(seen, shift.ravel(), rcond=1e-6)[0]
    return moved.reshape(-1, 2)
