"""Reconstruction with a model of the noise and of the specimen, on torch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.ndimage
import torch
from numpy.typing import NDArray

from aetx.kernels.edge_prior import EdgePrior, step
from aetx.kernels.filtering import back_projection
from aetx.kernels.projection import F64, Projector
from aetx.kernels.reconstruction import Look, Reconstruction, Scheme, Watch

F32 = NDArray[np.float32]
BLUR = 1.5
"""Width of the Gaussian, in pixels, by which images are smoothed to tell their expected value."""
DARK = 0.02
"""The expected value is not taken to be less than this fraction of the greatest."""
CORNER = 0.4
"""Frequencies above this, in 1/pixel and along both axes, hold noise and hardly any signal."""
NOISELESS, TINY = 1e-8, 1e-30
"""Least variance, as a fraction of the greatest expected value squared, and what keeps zero from being divided by."""
FAINT = 0.01
"""Least density that is expected, as a fraction of the greatest: where steps begin short."""
RISE = 1.05
"""Images are taken all at once when the mean R1 is so many times the least there was."""
FEWEST = 4
"""Least images in a subset."""


def noise_power(images: F32) -> F64:
    """Return the variance of the noise of each image, shape (tilts,), from the corners of its power spectrum.

    The noise is taken to be white, and the signal to end before the corners (`CORNER`); a Hann window keeps the edges
    of the images out of them. Noise that was smoothed away is not seen.
    """
    window = np.outer(*(np.hanning(size + 2)[1:-1] for size in images.shape[1:]))
    high = [np.abs(np.fft.fftfreq(size)) > CORNER for size in images.shape[1:]]
    found = np.empty(len(images))
    for tilt, image in enumerate(images):
        spectrum = np.fft.fft2((image - image.mean()) * window)[np.ix_(*high)]
        found[tilt] = (np.abs(spectrum) ** 2).mean() / (window**2).sum() if spectrum.size else 0.0
    return found


def poisson_variance(images: F32) -> F32:
    """Return the variance of images, shape (tilts, y, x), whose noise is that of counts: gain times expected value.

    One gain serves all; it is the sum of the noise over the sum of the expected values, weighted as in `noise_power`.
    The expected value is the smoothed image (`BLUR`), not below `DARK` of its greatest.
    """
    window = np.outer(*(np.hanning(size + 2)[1:-1] for size in images.shape[1:])) ** 2
    smooth = np.stack([scipy.ndimage.gaussian_filter(image, BLUR) for image in images])
    np.maximum(smooth, DARK * smooth.max(), out=smooth)
    expected = (smooth * window).sum(axis=(1, 2)) / window.sum()
    gain = noise_power(images).sum() / max(float(expected.sum()), TINY)
    variance: F32 = np.maximum(gain * smooth, NOISELESS * float(smooth.max()) ** 2 + TINY).astype(np.float32)
    return variance


def even_variance(images: F32) -> F32:
    """Return the mean variance of the noise of images (`noise_power`), at every pixel."""
    least = NOISELESS * float(images.max()) ** 2 + TINY
    return np.full(images.shape, max(float(noise_power(images).mean()), least), np.float32)


def mean_density(images: F32, depth: int) -> float:
    """Return the mean density along the rays that hold most of the images, per voxel.

    The specimen is taken to be as deep as it is wide, sqrt(4 A / pi) with A = (sum b)^2 / sum b^2, but not deeper than
    the box.
    """
    values = np.maximum(images.astype(float), 0.0)
    total, square = values.sum(axis=(1, 2)), (values**2).sum(axis=(1, 2))
    lit = square > 0
    if not lit.any():
        return 0.0
    width = np.sqrt(4 / np.pi * total[lit] ** 2 / square[lit])
    return float(np.mean(square[lit] / total[lit] / np.minimum(width, depth)))


@dataclass(frozen=True)
class Model:
    """What is known beside the images: weights (tilt, x, y), one over the variance, and the prior.

    `subsets` is how many groups of images are used in turn.
    """

    weights: torch.Tensor
    prior: EdgePrior
    subsets: int


def mbir(
    projector: Projector,
    images: torch.Tensor,
    scheme: Scheme,
    model: Model,
    *,
    support: torch.Tensor | None = None,
    trusted: torch.Tensor | None = None,
    held: torch.Tensor | None = None,
    look: Look | None = None,
) -> Reconstruction:
    """Minimise half the weighted squared misfit plus a prior, from the weighted back projection.

    The arguments are those of `kernels.reconstruction.descend`, whose rule of momentum and restart is used, `step` a
    fraction of the inverse curvature. The curvature is transpose(A) W A u / u, which bounds the second derivatives for
    any positive u; u is the smoothed start, so that atoms move in long steps. Subsets of the images stand for all of
    them in turn; the volume then circles the minimum at a small distance, and should R1 ever rise by `RISE`, all images
    are used together from there on.
    """
    seen = torch.ones_like(images) if trusted is None else trusted
    watch = Watch(images, trusted, held, scheme)
    parts = [_Part(projector, images, model.weights * seen, group) for group in _groups(len(images), model.subsets)]
    volume = back_projection(projector, images * seen, "hann", 1.0, None)
    if support is not None:
        volume.mul_(support)
    curvature = _curvature(parts, volume, support).div_(scheme.step)
    if scheme.positive:
        volume.clamp_(min=0.0)
    ahead, spare, gradient = volume.clone(), torch.empty_like(volume), torch.empty_like(volume)
    rounds, speed = [[part] for part in parts], 1.0
    shown = projector.project(volume)
    for number in range(1, scheme.iterations + 1):
        watch.see(shown)
        if watch.settled:
            break
        if watch.history[-1] > RISE * min(watch.history) and len(rounds) > 1:
            rounds, speed = [parts], 1.0
            ahead.copy_(volume)
        for group in rounds:
            _descent(group, ahead, gradient, len(rounds))
            following = (1 + (1 + 4 * speed * speed) ** 0.5) / 2
            extra = (speed - 1) / following
            turned = step(ahead, volume, gradient, curvature, model.prior, extra, scheme.positive, spare)
            speed = 1.0 if turned > 0 else following
            ahead, spare = spare, ahead
            if support is not None:
                volume.mul_(support)
                ahead.mul_(support)
        shown = projector.project(volume)
        if look is not None:
            look(number, volume)
    return watch.result(volume, shown)


class _Part:
    """Some of the images, with their projector and weights."""

    def __init__(self, projector: Projector, images: torch.Tensor, weights: torch.Tensor, tilts: list[int]) -> None:
        whole = len(tilts) == len(images)
        self.projector = projector if whole else _chosen(projector, tilts)
        self.images, self.weights = images[tilts], weights[tilts]


def _chosen(projector: Projector, tilts: list[int]) -> Projector:
    return Projector(projector.rotations[tilts], projector.volume, projector.image, projector.device)


def _groups(tilts: int, subsets: int) -> list[list[int]]:
    """Return every so many tilts in turn, fewer groups where these would hold fewer than `FEWEST` images."""
    count = max(1, min(subsets, tilts // FEWEST))
    return [list(range(tilts))[first::count] for first in range(count)]


def _curvature(parts: list[_Part], start: torch.Tensor, support: torch.Tensor | None) -> torch.Tensor:
    """Return transpose(A) W A u / u, u the smoothed start."""
    smooth = scipy.ndimage.gaussian_filter(start.clamp(min=0.0).cpu().numpy(), 1.0)
    expected = torch.as_tensor(smooth, device=start.device)
    expected.clamp_(min=max(FAINT * float(expected.max()), torch.finfo(torch.float32).tiny))
    inside = expected if support is None else expected * support
    total, one = torch.zeros_like(expected), torch.empty_like(expected)
    for part in parts:
        total.add_(part.projector.transpose(part.projector.project(inside).mul_(part.weights), one))
    total.div_(expected)
    return total.clamp_(min=max(1e-3 * float(total.max()), torch.finfo(torch.float32).tiny))


def _descent(group: list[_Part], ahead: torch.Tensor, gradient: torch.Tensor, share: int) -> None:
    """Write the gradient of the misfit of a group of images, as if all had been asked, into `gradient`."""
    other = torch.empty_like(gradient) if len(group) > 1 else gradient
    for number, part in enumerate(group):
        into = gradient if number == 0 else other
        residual = part.projector.project(ahead).sub_(part.images).mul_(part.weights)
        part.projector.transpose(residual.mul_(float(share)), into)
        if number:
            gradient.add_(other)
