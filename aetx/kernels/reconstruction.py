"""Iterative reconstruction with a projector and its transpose, on torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from aetx.kernels.projection import F64, Grid, Projector

SMALL = 1e-6
"""Rays and voxels with less weight than this fraction of the greatest are left alone."""
POWERS = 6
"""Power iterations for the length of the step."""
SPAN = 10
"""Iterations over which the fall of R1 is judged."""
Look = Callable[[int, torch.Tensor], None]
"""What is shown the number of steps made and the volume (z, x, y) after each of them."""


@dataclass(frozen=True)
class Reconstruction:
    """A volume (z, x, y), the R1 of each tilt, and the mean R1 before each iteration and after the last.

    `free` is the same mean over the tilts that were held out, empty where none were; `apart` is the sum of absolute
    differences at each of these moments and tilts, shape (iterations + 1, tilts), of which R1 is a share.
    """

    volume: torch.Tensor
    r1: F64
    history: F64
    free: F64
    apart: F64


@dataclass(frozen=True)
class Scheme:
    """How to iterate.

    At most `iterations` steps; stop when `SPAN` steps lowered the mean R1 by less than the fraction `tolerance` (0:
    never), or when R free of the pixels held out fell by less than the fraction `patience` in the last third of the
    steps, at least `SPAN` (0: never); `step` is relative to what the method says; `positive` keeps the density from
    falling below zero.
    """

    iterations: int
    tolerance: float
    step: float
    positive: bool
    patience: float = 0.0


def film_grid(rotations: F64, image: Grid, depth: int) -> Grid:
    """Return the grid (z, y, x) that holds every ray through the images within a slab of `depth` voxels.

    The four corners of each image are followed along the beam to both faces of the slab; the grid is their bounding box
    and holds the image grid. R[z, z] must not vanish.
    """
    low, high = -(depth // 2) - 0.5, depth - depth // 2 - 0.5
    ends = [(start - 0.5, start + size - 0.5) for start, size in zip(image.start, image.shape, strict=True)]
    v, u, face = (side.ravel() for side in np.meshgrid(*ends, (low, high), indexing="ij"))
    starts, sizes = [-float(depth // 2)], [depth]
    for axis, start, size in ((1, image.start[0], image.shape[0]), (0, image.start[1], image.shape[1])):
        place = _where_rays_meet(rotations, u, v, face, axis)
        before = max(0, int(np.ceil(start - 0.5 - place.min() - 1e-6)))
        after = max(0, int(np.ceil(place.max() - (start + size - 0.5) - 1e-6)))
        starts.append(start - before)
        sizes.append(size + before + after)
    return Grid(tuple(sizes), tuple(starts))


def whole_rays(rotations: F64, image: Grid, volume: Grid) -> NDArray[np.bool_]:
    """Tell which pixels, shape (tilts, y, x), have rays that enter and leave the volume by its faces in z."""
    v, u = (start + np.arange(size) for start, size in zip(image.start, image.shape, strict=True))
    u, v = (side.ravel() for side in np.meshgrid(u, v))
    inside = np.ones((len(rotations), u.size), bool)
    with np.errstate(divide="ignore", invalid="ignore"):
        for face in (volume.start[0] - 0.5, volume.start[0] + volume.shape[0] - 0.5):
            for axis in (0, 1):
                place = _where_rays_meet(rotations, u, v, np.full(u.shape, face), axis)
                low = volume.start[2 - axis] - 0.5
                inside &= (place >= low) & (place <= low + volume.shape[2 - axis])
    return inside.reshape(len(rotations), *image.shape)


def _where_rays_meet(rotations: F64, u: F64, v: F64, face: F64, axis: int) -> F64:
    """Return x (axis 0) or y (1) where the rays through (u, v) meet the plane z = face, shape (tilts, rays)."""
    row, up = rotations[:, axis, :, None], rotations[:, 2, :, None]
    beam = (face - up[:, 0] * u - up[:, 1] * v) / up[:, 2]
    return row[:, 0] * u + row[:, 1] * v + row[:, 2] * beam


def largest_eigenvalue(projector: Projector, support: torch.Tensor | None) -> float:
    """Return the largest eigenvalue of transpose(A) A, to a fraction of a percent, by power iteration.

    Rounded to six digits, so that the order of summation in threads does not show.

    All weights of the projector but the small lobes of its warp are positive, so that the iteration started at ones
    converges fast.
    """
    volume = torch.ones(projector.volume_shape, dtype=torch.float32, device=projector.device)
    value = 0.0
    for _ in range(POWERS):
        if support is not None:
            volume.mul_(support)
        norm = _square(volume) ** 0.5
        if norm == 0.0:
            return 0.0
        images = projector.project(volume.div_(norm))
        value = _square(images)
        projector.transpose(images, volume)
    return float(f"{value:.6g}")


def descend(
    projector: Projector,
    images: torch.Tensor,
    scheme: Scheme,
    *,
    momentum: bool,
    support: torch.Tensor | None = None,
    trusted: torch.Tensor | None = None,
    held: torch.Tensor | None = None,
    look: Look | None = None,
) -> Reconstruction:
    """Minimise half the squared misfit by projected gradient descent, as RESIRE does, with Nesterov momentum.

    Parameters
    ----------
    projector
        The map from volume to images.
    images
        Shape (tilt, x, y).
    scheme
        Its step is a fraction of 1/L, L the largest eigenvalue of transpose(A) A.
    momentum
        Extrapolate from the last two volumes; forgotten whenever the misfit grows.
    support
        Mask (z, x, y) of ones and zeros, or None.
    trusted
        Mask (tilt, x, y) of the pixels to fit, or None.
    held
        Mask (tilt, x, y) of pixels that are not fitted but judged, or None.
    look
        Shown the volume after each step; must not change it.
    """
    watch = Watch(images, trusted, held, scheme)
    pace = pace_of(projector, scheme, support)
    nearest = partial(constrain, positive=scheme.positive, support=support)
    return accelerated(projector, watch, pace, nearest, momentum=momentum, look=look)


def pace_of(projector: Projector, scheme: Scheme, support: torch.Tensor | None) -> float:
    """Return the step of a scheme over the largest eigenvalue of transpose(A) A, zero where that is zero."""
    bound = largest_eigenvalue(projector, support)
    return scheme.step / bound if bound > 0.0 else 0.0


def accelerated(
    projector: Projector,
    watch: Watch,
    pace: float,
    nearest: Callable[[torch.Tensor], None],
    penalty: Callable[[torch.Tensor], float] | None = None,
    *,
    momentum: bool = True,
    look: Look | None = None,
) -> Reconstruction:
    """Minimise the squared misfit plus a penalty by proximal gradient steps from an empty volume.

    Parameters
    ----------
    projector
        The map from volume to images.
    watch
        Knows the images, which pixels count, and when to stop.
    pace
        Length of a step along the gradient of half the squared misfit.
    nearest
        Puts in place of a volume the one that the proximal step makes of it: at the least, one that is allowed.
    penalty
        What is added to the squared misfit of a volume; None for nothing.
    momentum, look
        As for `descend`.
    """
    images, trusted = watch.images, watch.trusted
    volume = torch.zeros(projector.volume_shape, dtype=torch.float32, device=projector.device)
    ahead, gradient = volume.clone(), torch.empty_like(volume)
    shown = torch.zeros_like(images)
    before, speed, extra, least = shown, 1.0, 0.0, float("inf")
    for number in range(1, watch.scheme.iterations + 1):
        misfit = watch.see(shown) + (penalty(volume) if penalty else 0.0)
        if watch.settled:
            break
        if misfit > least:
            speed, extra = 1.0, 0.0
            ahead.copy_(volume)
        least = misfit
        residual = torch.lerp(before, shown, 1.0 + extra).sub_(images)
        projector.transpose(residual if trusted is None else residual.mul_(trusted), gradient)
        ahead.sub_(gradient, alpha=pace)
        nearest(ahead)
        volume, ahead = ahead, volume
        before, shown = shown, projector.project(volume)
        following = (1 + (1 + 4 * speed * speed) ** 0.5) / 2 if momentum else 1.0
        extra, speed = (speed - 1) / following, following
        ahead.mul_(-extra).add_(volume, alpha=1 + extra)
        if look is not None:
            look(number, volume)
    return watch.result(volume, shown)


def sirt(
    projector: Projector,
    images: torch.Tensor,
    scheme: Scheme,
    *,
    support: torch.Tensor | None = None,
    trusted: torch.Tensor | None = None,
    held: torch.Tensor | None = None,
    look: Look | None = None,
) -> Reconstruction:
    """Return the simultaneous iterative reconstruction: volume += step C transpose(A) R (images - A volume).

    R and C are one over the row and the column sums of A. The arguments are those of `descend`; the step is below 2.
    """
    watch = Watch(images, trusted, held, scheme)
    inside = torch.ones(projector.volume_shape, dtype=torch.float32, device=projector.device)
    if support is not None:
        inside.mul_(support)
    seen = torch.ones_like(images) if trusted is None else trusted
    row = inverse(projector.project(inside)).mul_(seen)
    column = inverse(projector.transpose(seen))
    volume, gradient, shown = torch.zeros_like(column), inside, torch.zeros_like(images)
    for number in range(1, scheme.iterations + 1):
        watch.see(shown)
        if watch.settled:
            break
        projector.transpose((images - shown).mul_(row), gradient)
        volume.addcmul_(gradient, column, value=scheme.step)
        constrain(volume, scheme.positive, support)
        shown = projector.project(volume)
        if look is not None:
            look(number, volume)
    return watch.result(volume, shown)


class Watch:
    """Keeps the mean R1 of each iteration, of what is fitted and of what is held out, and tells when to stop."""

    def __init__(
        self, images: torch.Tensor, trusted: torch.Tensor | None, held: torch.Tensor | None, scheme: Scheme
    ) -> None:
        self.images, self.trusted, self.held, self.scheme = images, trusted, held, scheme
        self.total = by_tilt(images if trusted is None else images * trusted)
        self.apart: list[F64] = []
        self.history: list[float] = []
        self.free: list[float] = []

    def see(self, shown: torch.Tensor) -> float:
        """Note the R1 of the images of a volume, and return the sum of their squared differences."""
        difference = shown - self.images
        if self.held is not None:
            self.free.append(mean_of_seen(r1_by_tilt(shown, self.images, self.held)))
        if self.trusted is not None:
            difference.mul_(self.trusted)
        self.apart.append(by_tilt(difference))
        self.history.append(mean_of_seen(share(self.apart[-1], self.total)))
        return float(difference.square_().sum(dtype=torch.float64))

    @property
    def settled(self) -> bool:
        """Whether R1, or R free of what is held out, has stopped falling."""
        past, late = self.history[:-SPAN], self.history[-SPAN:]
        if len(past) >= SPAN and self.scheme.tolerance > 0 and min(late) > (1 - self.scheme.tolerance) * min(past):
            return True
        span = max(SPAN, len(self.free) // 3)
        past, late = self.free[:-span], self.free[-span:]
        return bool(past) and self.scheme.patience > 0 and min(late) > (1 - self.scheme.patience) * min(past)

    def result(self, volume: torch.Tensor, shown: torch.Tensor) -> Reconstruction:
        """Return the reconstruction; `shown` are the images of the volume."""
        if not self.settled:
            self.see(shown)
        r1 = share(self.apart[-1], self.total)
        return Reconstruction(volume, r1, np.array(self.history), np.array(self.free), np.array(self.apart))


def mean_of_seen(values: F64) -> float:
    """Return the mean of the values that are defined, NaN where none is."""
    seen = values[np.isfinite(values)]
    return float(seen.mean()) if seen.size else float("nan")


def r1_by_tilt(shown: torch.Tensor, images: torch.Tensor, trusted: torch.Tensor | None = None) -> F64:
    """Return the sum of absolute differences over the sum of absolute images at each tilt, NaN where that is zero."""
    difference, total = shown - images, images
    if trusted is not None:
        difference, total = difference.mul_(trusted), images * trusted
    return share(by_tilt(difference), by_tilt(total))


def by_tilt(images: torch.Tensor) -> F64:
    """Return the sum of absolute values of each image."""
    found: F64 = images.abs().sum(dim=(1, 2), dtype=torch.float64).cpu().numpy()
    return found


def share(apart: F64, total: F64) -> F64:
    """Return a part over its total, NaN where that is zero."""
    return np.divide(apart, total, out=np.full(np.broadcast_shapes(apart.shape, total.shape), np.nan), where=total > 0)


def _square(values: torch.Tensor) -> float:
    return float(values.square().sum(dtype=torch.float64))


def constrain(volume: torch.Tensor, positive: bool, support: torch.Tensor | None) -> None:
    """Put zero where the density may not be."""
    if positive:
        volume.clamp_(min=0.0)
    if support is not None:
        volume.mul_(support)


def inverse(sums: torch.Tensor) -> torch.Tensor:
    """Return one over the sums, zero where they are below `SMALL` of the greatest."""
    floor = SMALL * float(sums.max()) if sums.numel() else 0.0
    return torch.where(sums > floor, 1.0 / sums, 0.0)
