"""Bright-field images: a plane wave through the slices of atoms, then a lens that is not quite coherent."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aetx.kernels import optics, potential
from aetx.kernels.diffraction import transmissions
from aetx.kernels.multislice import WaveGrid, edge_width, multislice, propagator, to_wave, transmission
from aetx.kernels.transfer import spatial_envelope, square_slope, temporal_envelope, vibration
from aetx.kernels.turning import turned_slices

F64 = NDArray[np.float64]


@dataclass(frozen=True)
class Coherence:
    """What limits the interference of the electrons, and the aperture behind the lens.

    `spread` is the standard deviation of the focus, angstrom; `source` the half width at 1/e of the illumination
    angles, mrad; `aperture` the half angle of the objective aperture, mrad, 0 for none.
    """

    spread: float = 0.0
    source: float = 0.0
    aperture: float = 0.0


def exit_wave(
    position: F64,
    numbers: NDArray[np.integer],
    grid: WaveGrid,
    thickness: float,
    *,
    width: float = 0.0,
    oversampling: int = 2,
    device: str = "cpu",
) -> Tensor:
    """Return the spectrum of a plane wave of amplitude 1 behind atoms, carried back to the plane p_z = 0.

    Parameters
    ----------
    position, numbers
        x and y from the first pixel and p_z of each atom, angstrom, shape (atoms, 3), and its atomic number.
    grid
        Periodic box of the wave.
    thickness
        Of a slice, angstrom.
    width
        Standard deviation of a Gaussian that blurs the potential, angstrom.
    oversampling
        Pixels of the potential along the edge of one of the waves.
    device
        Where torch computes.

    Returns
    -------
    Complex64, unitary, shape of the grid.
    """
    with torch.no_grad():
        plane = torch.zeros(grid.rows, grid.columns, dtype=torch.complex64, device=device)
        plane[0, 0] = (grid.rows * grid.columns) ** 0.5
        if not len(position):
            return plane
        _, count, first = potential.slice_indices(position[:, 2], thickness)
        slices = transmissions(
            position, numbers, grid, thickness, width=width, oversampling=oversampling, device=device
        )
        behind = multislice(plane, slices, propagator(grid, thickness, device=device))
        return behind * propagator(grid, -(first + count + 0.5) * thickness, device=device)


def wave_of_volume(
    coefficients: Tensor,
    rotation: Tensor,
    shape: tuple[int, int, int],
    grid: WaveGrid,
    dtype: torch.dtype = torch.complex64,
) -> Tensor:
    """Return the spectrum of a plane wave of amplitude 1 behind a volume of potential, carried back to p_z = 0.

    Each plane of voxels is a slice, which acts at its middle. Differentiable in the volume and the pose.

    Parameters
    ----------
    coefficients
        Of the potential in V, from `kernels.turning.spline_coefficients`, axes z, y, x; voxels of `grid.pixel`.
    rotation
        R of the pose, shape (3, 3): the camera sees V(R p).
    shape
        Voxels along p_z, p_y, p_x of the part that is seen, around the middle of the volume; the last two are those
        of the grid.
    grid
        Of the wave.
    dtype
        Complex, of the result.
    """
    plane = torch.zeros(grid.rows, grid.columns, dtype=dtype, device=coefficients.device)
    plane[0, 0] = (grid.rows * grid.columns) ** 0.5
    slices = (transmission(one * grid.pixel, grid) for one in turned_slices(coefficients, rotation, shape))
    step = propagator(grid, grid.pixel, device=coefficients.device, dtype=dtype)
    behind = multislice(plane, slices, step)
    return behind * propagator(grid, -(shape[0] - shape[0] // 2) * grid.pixel, device=plane.device, dtype=dtype)


def lens_transfer(
    grid: WaveGrid,
    aberrations: optics.Aberrations,
    coherence: Coherence,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.complex64,
) -> Tensor:
    """Return A(q) exp(-i chi(q)) E_t(q) E_s(q), by which a lens multiplies the spectrum of a wave.

    Parameters
    ----------
    grid
        Of the wave.
    aberrations
        From the plane of the wave on; differentiable where its coefficients are tensors.
    coherence
        Envelopes and aperture, the edge of which is one reciprocal pixel wide.
    device, dtype
        Of the result, shape of the grid.
    """
    qy, qx = (q.expand(grid.rows, grid.columns) for q in grid.frequencies(device))
    wavelength = grid.wavelength

    def phase(qy: Tensor, qx: Tensor) -> Tensor:
        return optics.aberration_phase(qy, qx, wavelength, aberrations)

    square = qy * qy + qx * qx
    damping = temporal_envelope(square, wavelength, coherence.spread)
    if coherence.source > 0:
        damping = damping * spatial_envelope(square_slope(phase, qy, qx, wavelength), coherence.source * 1e-3)
    if coherence.aperture > 0:
        damping = damping * optics.aperture(qy, qx, wavelength, coherence.aperture, edge_width(grid))
    return torch.polar(damping, -phase(qy, qx)).to(dtype)


def intensity(spectrum: Tensor, transfer: Tensor, grid: WaveGrid, blur: float = 0.0) -> Tensor:
    """Return the image |F**-1(spectrum * transfer)|**2, blurred by a Gaussian of standard deviation `blur`, angstrom.

    Shapes (..., rows, columns), which broadcast; 1 in vacuum for a wave of amplitude 1.
    """
    wave = to_wave(spectrum * transfer)
    image = wave.real.square() + wave.imag.square()
    if blur == 0:
        return image
    qy, qx = grid.frequencies(image.device)
    dim = vibration(qy * qy + qx * qx, blur)[:, : grid.columns // 2 + 1].to(image.dtype)
    return torch.fft.irfft2(torch.fft.rfft2(image) * dim, s=(grid.rows, grid.columns))
