"""Filtered back projection: the ramp for tilts about one axis, and the weights of any set of directions."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from aetx.kernels.projection import F64, Projector

WINDOWS: Mapping[str, Callable[[F64], F64]] = {
    "none": np.ones_like,
    "shepp-logan": lambda share: np.sinc(share / 2),
    "cosine": lambda share: np.cos(np.pi * share / 2),
    "hann": lambda share: 0.5 + 0.5 * np.cos(np.pi * share),
}
"""Windows by name, functions of the frequency as a share of Nyquist, from 0 to 1."""
UPRIGHT = np.deg2rad(1e-3)
"""Greatest angle between the tilt axis and y for which the ramp is used."""


def about_y(rotations: F64) -> bool:
    """Tell whether all rotations are about y alone."""
    return bool(np.abs(rotations[:, 1] - np.array([0.0, 1.0, 0.0])).max() < UPRIGHT)


def back_projection(
    projector: Projector, images: torch.Tensor, window: str, cutoff: float, diameter: float | None
) -> torch.Tensor:
    """Return the weighted back projection of images, shape (z, x, y).

    Parameters
    ----------
    projector
        The map from volume to images.
    images
        Shape (tilt, x, y).
    window, cutoff
        One of `WINDOWS`, zero from the frequency `cutoff` on, a fraction of Nyquist.
    diameter
        Of the specimen, in pixels. None takes the ramp where all tilts are about y, and the width of the images
        elsewhere.
    """
    if diameter is None and about_y(projector.rotations):
        return projector.transpose(_ramped(projector, images, window, cutoff))
    across = float(images.shape[1]) if diameter is None else diameter
    return projector.transpose(_weighted(projector, images, window, cutoff, across))


def angular_widths(theta: F64) -> F64:
    """Return the angle, in radian, that each tilt stands for: the mean of the gaps beside it, shared by equal tilts."""
    places, owner, count = np.unique(np.round(theta, 9), return_inverse=True, return_counts=True)
    if places.size == 1:
        return np.full(theta.size, np.pi / theta.size)
    widths: F64 = (np.gradient(places) / count)[owner]
    return widths


def ramp(size: int) -> F64:
    """Return |q| at the real frequencies of a transform of `size` pixels, from its samples in space.

    h(0) = 1/4, h(odd n) = -1 / (pi n)^2, h(even n) = 0: sampling |q| itself would take the mean of every image away.
    """
    n = np.fft.fftfreq(size, 1 / size)
    odd = n % 2 == 1
    kernel = np.where(odd, -1.0 / (np.pi * np.where(odd, n, 1.0)) ** 2, 0.0)
    kernel[0] = 0.25
    found: F64 = np.fft.rfft(kernel).real
    return found


def windowed(share: F64, window: str, cutoff: float) -> F64:
    """Return a window at frequencies given as shares of Nyquist."""
    inside: F64 = np.where(share <= cutoff, WINDOWS[window](np.minimum(share / cutoff, 1.0)), 0.0)
    return inside


def radermacher(rotations: F64, tilt: int, qx: F64, qy: F64, diameter: float) -> F64:
    """Return the weight 1 / (D sum_k sinc(D q . n_k)) of one image at the frequencies (qx, qy), in 1/pixel.

    n_k is the direction of beam k in the frame of the image; a specimen of diameter D blurs the plane of each image
    into a slab of width 1/D, and the sum counts the slabs at q. The sum is not less than the reciprocal of the number
    of images.
    """
    beams = rotations[tilt].T @ rotations[:, :, 2].T
    met = np.zeros(np.broadcast_shapes(qx.shape, qy.shape))
    for x, y in zip(beams[0], beams[1], strict=True):
        met += np.sinc(diameter * (qx * x + qy * y))
    return 1.0 / (diameter * np.maximum(met, 1.0 / len(rotations)))


def _ramped(projector: Projector, images: torch.Tensor, window: str, cutoff: float) -> torch.Tensor:
    size = 2 * images.shape[1]
    response = ramp(size) * windowed(2.0 * np.fft.rfftfreq(size).astype(np.float64), window, cutoff)
    widths = angular_widths(np.arctan2(projector.rotations[:, 0, 2], projector.rotations[:, 2, 2]))
    scaled = widths[:, None, None] * response[None, :, None]
    spectrum = torch.fft.rfft(images, size, dim=1).mul_(_tensor(scaled, images))
    return torch.fft.irfft(spectrum, size, dim=1)[:, : images.shape[1]].contiguous()


def _weighted(projector: Projector, images: torch.Tensor, window: str, cutoff: float, diameter: float) -> torch.Tensor:
    width, height = 2 * images.shape[1], 2 * images.shape[2]
    qx = np.fft.fftfreq(width).astype(np.float64)[:, None]
    qy = np.fft.rfftfreq(height).astype(np.float64)[None, :]
    envelope = windowed(2 * np.hypot(qx, qy), window, cutoff)
    made = torch.empty_like(images)
    for tilt, image in enumerate(images):
        response = radermacher(projector.rotations, tilt, qx, qy, diameter) * envelope
        spectrum = torch.fft.rfft2(image, (width, height)).mul_(_tensor(response, images))
        made[tilt] = torch.fft.irfft2(spectrum, (width, height))[: image.shape[0], : image.shape[1]]
    return made


def _tensor(values: NDArray[np.float64], like: torch.Tensor) -> torch.Tensor:
    return torch.as_tensor(values.astype(np.float32), device=like.device)
