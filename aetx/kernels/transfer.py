"""What dims a bright-field image: partial coherence, vibration, and the modulation transfer of the camera."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]


def temporal_envelope(square: torch.Tensor, wavelength: float, spread: float) -> torch.Tensor:
    """Return E_t(q) = exp(-(pi lambda q**2 spread)**2 / 2), which a spread of the focus leaves of the linear transfer.

    Parameters
    ----------
    square
        q**2, 1/angstrom**2.
    wavelength
        Angstrom.
    spread
        Standard deviation of the defocus, angstrom. Where the spread is given as the half width D at 1/e of the
        distribution of the defocus, exp(-(pi lambda q**2 D)**2 / 4), that is D / sqrt(2).

    References
    ----------
    E. J. Kirkland, Advanced Computing in Electron Microscopy (2010), doi:10.1007/978-1-4419-6533-2.
    """
    return torch.exp(-0.5 * (math.pi * wavelength * spread * square) ** 2)


def spatial_envelope(slope: torch.Tensor, source: float) -> torch.Tensor:
    """Return E_s(q) = exp(-(source / 2)**2 |gradient|**2), which a source of finite size leaves of the linear transfer.

    Parameters
    ----------
    slope
        Square of the gradient of the aberration phase by the scattering angle, (rad/rad)**2; see `square_slope`.
    source
        Half width at 1/e of the Gaussian distribution of the illumination angles, rad.
    """
    return torch.exp(-((0.5 * source) ** 2) * slope)


def square_slope(
    phase: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], qy: torch.Tensor, qx: torch.Tensor, wavelength: float
) -> torch.Tensor:
    """Return the square of the gradient of a phase by the scattering angle, (rad/rad)**2.

    Parameters
    ----------
    phase
        From frequencies along y and x, 1/angstrom, to the phase at each, rad; any aberrations.
    qy, qx
        Frequencies of one shape.
    wavelength
        Angstrom: the scattering angle is the wavelength times the frequency.
    """
    places = tuple(q.detach().clone().requires_grad_(True) for q in (qy, qx))
    kept = phase(qy, qx).requires_grad  # of the aberrations: without it the result is free of a graph
    with torch.enable_grad():
        along = torch.autograd.grad(phase(*places).sum(), places, create_graph=kept)
    return (along[0] ** 2 + along[1] ** 2) / wavelength**2


def vibration(square: torch.Tensor, width: float) -> torch.Tensor:
    """Return exp(-2 pi**2 width**2 q**2), the transfer of a Gaussian blur of the image by `width`, angstrom."""
    return torch.exp(-2 * (math.pi * width) ** 2 * square)


@dataclass(frozen=True)
class Camera:
    """Modulation transfer MTF(q) = ((1 - floor) / (1 + (q / (2 half q_N))**power) + floor)**exponent, MTF(0) = 1.

    `half` is where the sloping part is one half, in units of twice the Nyquist frequency q_N of the pixels. The
    exponent is 1 for the published form; some programs take the square root of it.

    References
    ----------
    J. Madsen et al., Advanced Theory and Simulations 1, 1800037 (2018), eq. 5, doi:10.1002/adts.201800037.
    """

    floor: float = 0.0
    half: float = 0.5
    power: float = 2.0
    exponent: float = 1.0

    def modulation(self, q: F64, nyquist: float) -> F64:
        """Return the modulation transfer at frequencies `q`, in the unit of `nyquist`."""
        slope = (1 - self.floor) / (1 + (q / (2 * self.half * nyquist)) ** self.power)
        found: F64 = (slope + self.floor) ** self.exponent
        return found

    def read(self, counts: NDArray[np.floating]) -> F32:
        """Return periodic images, shape (..., y, x), with their spectrum multiplied by the modulation transfer.

        Applied to counts with their noise it colours the noise, as a camera does; the mean is kept.
        """
        rows, columns = counts.shape[-2:]
        q = np.hypot(np.fft.fftfreq(rows)[:, None], np.fft.rfftfreq(columns)[None, :])
        spectrum = np.fft.rfft2(counts) * self.modulation(q, 0.5)
        return np.fft.irfft2(spectrum, s=(rows, columns)).astype(np.float32)
