"""Electron waves through slices of a potential: one differentiable core for every kind of image.

Waves are handed on as spectra on the full grid, in the order of the FFT, batched over leading dimensions. Their
squares sum to the intensity: `to_spectrum` and `to_wave` are unitary. All steps are plain torch operations, so that
gradients flow to the waves and to the potential; under ``torch.no_grad()`` the products are made in place.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from aetx.kernels import scattering
from aetx.kernels.optics import ring


@dataclass(frozen=True)
class WaveGrid:
    """A periodic grid of square pixels, the energy of the electrons, and the band that waves are kept in.

    `pixel` is in angstrom, `kev` the energy. Frequencies beyond `band` times that of Nyquist are cut off, so that the
    product of a wave and a transmission function is free of aliases for a band of 2/3.
    """

    rows: int
    columns: int
    pixel: float
    kev: float
    band: float = 2 / 3

    @property
    def wavelength(self) -> float:
        """Wavelength, angstrom."""
        return scattering.wavelength(self.kev)

    @property
    def limit(self) -> float:
        """Highest frequency that is kept, 1/angstrom."""
        return self.band / (2 * self.pixel)

    @property
    def largest_angle(self) -> float:
        """Scattering angle of the highest frequency that is kept, mrad."""
        return self.limit * self.wavelength * 1e3

    def finer(self, times: int) -> WaveGrid:
        """Return the grid of the same box with pixels this many times smaller."""
        return WaveGrid(self.rows * times, self.columns * times, self.pixel / times, self.kev, self.band)

    def frequencies(
        self, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float64
    ) -> tuple[Tensor, Tensor]:
        """Return q_y and q_x in the order of the FFT, 1/angstrom, shapes (rows, 1) and (1, columns)."""
        qy, qx = (
            torch.fft.fftfreq(size, self.pixel, device=device, dtype=torch.float64).to(dtype)
            for size in (self.rows, self.columns)
        )
        return qy[:, None], qx[None, :]

    def in_band(self, device: str | torch.device = "cpu") -> Tensor:
        """Return which frequencies are kept, shape (rows, columns), bool."""
        qy, qx = self.frequencies(device)
        return qy * qy + qx * qx <= self.limit**2


def good_size(least: int) -> int:
    """Return the least even number of at least `least` whose only prime factors are 2, 3 and 5: quick to transform."""
    size = max(2, least + least % 2)
    while True:
        rest = size
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return size
        size += 2


def to_spectrum(waves: Tensor) -> Tensor:
    """Return the spectra of waves, shapes (..., rows, columns); unitary."""
    return torch.fft.fft2(waves, norm="ortho")


def to_wave(spectra: Tensor) -> Tensor:
    """Return the waves of spectra, shapes (..., rows, columns); unitary."""
    return torch.fft.ifft2(spectra, norm="ortho")


def transmission(potential: Tensor, grid: WaveGrid) -> Tensor:
    """Return exp(i sigma V), kept in the band.

    The exponential has frequencies far beyond those of the potential of a heavy atom. Those that alias make its
    picture depend on where in a pixel it lies, by several percent: a potential on a finer grid avoids that.

    Parameters
    ----------
    potential
        Potential of slices summed along the beam, V angstrom, shape (..., n rows, n columns) for a whole n.
    grid
        Of the waves.

    Returns
    -------
    Complex, shape (..., rows, columns).
    """
    phase = scattering.interaction(grid.kev) * potential
    spectrum = torch.fft.fft2(torch.complex(torch.cos(phase), torch.sin(phase)))
    scale = (grid.rows * grid.columns) / (potential.shape[-2] * potential.shape[-1])
    if scale != 1:
        spectrum = crop(spectrum, grid.rows, grid.columns)
    return torch.fft.ifft2(_times(spectrum, scale * grid.in_band(potential.device).to(phase.dtype)))


def crop(spectra: Tensor, rows: int, columns: int) -> Tensor:
    """Return the spectra on a grid with another number of rows and columns; frequencies that it lacks are lost.

    Parameters
    ----------
    spectra
        In the order of the FFT, shape (..., any, any).
    rows, columns
        Of the result; frequencies that the spectra lack are 0.
    """
    y, x = (
        torch.arange(-half, half + 1, device=spectra.device)
        for half in ((min(pair) - 1) // 2 for pair in zip(spectra.shape[-2:], (rows, columns), strict=True))
    )
    cropped = spectra.new_zeros(*spectra.shape[:-2], rows, columns)
    cropped[..., y[:, None], x] = spectra[..., y[:, None], x]
    return cropped


def propagator(
    grid: WaveGrid,
    distance: float,
    tilt: tuple[float, float] = (0.0, 0.0),
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.complex64,
) -> Tensor:
    """Return exp(-i pi lambda d q**2 + 2 pi i d (q_x tan(t_x) + q_y tan(t_y))) in the band, 0 outside.

    Parameters
    ----------
    grid
        Of the waves.
    distance
        Towards +p_z, angstrom; negative to go back.
    tilt
        Of the beam along y and x, mrad.
    device, dtype
        Of the result, shape (rows, columns).
    """
    qy, qx = grid.frequencies(device)
    ty, tx = (math.tan(angle * 1e-3) for angle in tilt)
    phase = math.pi * distance * (2 * (qy * ty + qx * tx) - grid.wavelength * (qy * qy + qx * qx))
    return torch.polar(grid.in_band(device).double(), phase).to(dtype)


def multislice(spectra: Tensor, slices: Iterable[Tensor | None], step: Tensor) -> Tensor:
    """Return the spectra of waves behind all slices, psi <- F**-1 (P F (t psi)) for each.

    A slice acts at its first plane and is followed by one step. Hand in a wave that stands half a slice behind the
    entrance and the slices act in their middle, which is accurate to second order in their thickness.

    Parameters
    ----------
    spectra
        Waves at the plane of the first slice, shape (..., rows, columns), complex, within the band.
    slices
        Transmission functions in the order of the beam, shapes that broadcast to that of the waves; None where there
        is vacuum, which costs no transform. They are taken one at a time, so that a generator bounds the memory.
    step
        Propagator over one slice, shape (rows, columns).

    Returns
    -------
    Spectra one step behind the last slice, the shape of the waves.

    References
    ----------
    E. J. Kirkland, Advanced Computing in Electron Microscopy (2010), chapter 6, doi:10.1007/978-1-4419-6533-2.
    """
    for passed in slices:
        if passed is None:
            spectra = spectra * step
        else:
            spectra = _times(torch.fft.fft2(_times(torch.fft.ifft2(spectra), passed)), step)
    return spectra


def annulus(grid: WaveGrid, inner: float, outer: float, *, device: str | torch.device = "cpu") -> Tensor:
    """Return how much of each frequency falls on a ring, float32, shape (rows, columns).

    Its edges are as wide as one reciprocal pixel, so that the ring does not depend on where the pixels lie.

    Parameters
    ----------
    grid
        Of the waves.
    inner, outer
        Edges of the ring, mrad.
    device
        Of the result.
    """
    qy, qx = grid.frequencies(device)
    return ring(qy, qx, grid.wavelength, inner, outer, edge_width(grid)).float()


def edge_width(grid: WaveGrid) -> float:
    """Return the angle of one reciprocal pixel, mrad; the greater one where rows and columns differ."""
    return grid.wavelength * 1e3 / (min(grid.rows, grid.columns) * grid.pixel)


def detected(spectra: Tensor, detector: Tensor) -> Tensor:
    """Return the intensity of each wave on a detector of shape (rows, columns), shape (...)."""
    return torch.einsum("...yx,yx->...", spectra.real.square() + spectra.imag.square(), detector)


def _times(wave: Tensor, factor: Tensor) -> Tensor:
    return wave * factor if torch.is_grad_enabled() else wave.mul_(factor)
