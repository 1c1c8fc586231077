"""Diffraction patterns of probes that scan over slices of a potential: of atoms, or of a volume at any pose."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aetx.kernels import optics, potential
from aetx.kernels.multislice import WaveGrid, edge_width, good_size, multislice, propagator, transmission
from aetx.kernels.turning import turned_slices

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

TOGETHER = 2**19
"""Pixels of waves that are propagated together on a processor, where they stay in its cache."""


def scan(slices: Iterable[Tensor | None], spectrum: Tensor, position: Tensor, grid: WaveGrid, step: Tensor) -> Tensor:
    """Return the intensity of the diffraction pattern of each probe, |Psi(q; r_p)|**2.

    Each wave is followed in a periodic window of the size of `grid`, which is cut from the slices so that the probe
    stands at its middle; slices of that very size are periodic themselves and not cut. All waves pass one slice
    before the next is asked for, so that a generator bounds the memory. Differentiable in everything.

    Parameters
    ----------
    slices
        Transmission functions in the order of the beam, shape (rows, columns) at least that of the grid; None for
        vacuum.
    spectrum
        Of the probe at the plane of the first slice, for a probe at the first pixel, shape of the grid, unitary.
    position
        x and y of each probe from the first pixel of the slices, angstrom, shape (probes, 2).
    grid
        Of the waves.
    step
        Propagator over one slice, shape of the grid.

    Returns
    -------
    Shape (probes, rows, columns), in the order of the FFT; each sums to that of the squares of the spectrum, less
    what leaves the band.
    """
    together = max(1, TOGETHER // (grid.rows * grid.columns)) if position.device.type == "cpu" else len(position)
    batches = position.split(together)
    middle = torch.tensor([grid.columns // 2, grid.rows // 2], device=position.device)
    corners = [torch.round(batch.detach() / grid.pixel).long() - middle for batch in batches]
    qy, qx = grid.frequencies(position.device)
    waves: list[Tensor] | None = None
    cuts = False
    for passed in slices:
        if waves is None:
            cuts = passed is None or passed.shape[-2:] != spectrum.shape
            origins = [corner * grid.pixel if cuts else torch.zeros_like(corner) for corner in corners]
            waves = [
                spectrum * optics.shift(qy, qx, batch - origin).to(spectrum.dtype)
                for batch, origin in zip(batches, origins, strict=True)
            ]
        for i, corner in enumerate(corners):
            seen = None if passed is None else _cut(passed, corner, grid) if cuts else passed
            waves[i] = multislice(waves[i], [seen], step)
    if waves is None:
        waves = [spectrum.expand(len(batch), -1, -1) for batch in batches]
    return torch.cat([wave.real.square() + wave.imag.square() for wave in waves])


def _cut(field: Tensor, corner: Tensor, grid: WaveGrid) -> Tensor:
    """Return a window of a periodic field for each corner (column, row), shape (probes, rows, columns)."""
    rows, columns = field.shape
    y = (corner[:, 1, None] + torch.arange(grid.rows, device=field.device)) % rows
    x = (corner[:, 0, None] + torch.arange(grid.columns, device=field.device)) % columns
    return field[y[:, :, None], x[:, None, :]]


def binned(patterns: Tensor, pixels: int, by: int) -> Tensor:
    """Return patterns on a square detector: zero frequency at index pixels // 2, `by` frequencies to a pixel.

    Parameters
    ----------
    patterns
        In the order of the FFT, shape (..., rows, columns).
    pixels
        Rows and columns of the result.
    by
        Frequencies along each axis that a pixel gathers around its middle, odd. Their sums are kept.
    """
    for axis in (-2, -1):
        size = patterns.shape[axis]
        number = torch.arange(pixels * by, device=patterns.device) - (pixels // 2) * by - by // 2
        taken = patterns.index_select(axis, number % size)
        beyond = (number < -(size // 2)) | (number >= size - size // 2)
        shape = [1, 1]
        shape[axis] = pixels * by
        patterns = torch.where(beyond.reshape(shape), torch.zeros_like(taken), taken)
    split = patterns.reshape(*patterns.shape[:-2], pixels, by, pixels, by)
    return split.sum((-3, -1))


def probe_behind(
    grid: WaveGrid,
    semi_angle: float,
    aberrations: optics.Aberrations,
    plane: float,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.complex64,
) -> Tensor:
    """Return the spectrum at the plane p_z = `plane` of a probe that focuses as stated for p_z = 0; squares sum to 1.

    Parameters
    ----------
    grid
        Of the waves.
    semi_angle
        Mrad; the edge of the aperture is one reciprocal pixel wide.
    aberrations
        At p_z = 0.
    plane
        Angstrom.
    device, dtype
        Of the result.
    """
    qy, qx = grid.frequencies(device)
    there = replace(aberrations, c10=aberrations.c10 + plane)
    return optics.probe(qy, qx, grid.wavelength, semi_angle, edge_width(grid), there).to(dtype)


def patterns_of_atoms(
    position: F64,
    numbers: NDArray[np.integer],
    probes: F64,
    grid: WaveGrid,
    semi_angle: float,
    aberrations: optics.Aberrations,
    thickness: float,
    *,
    width: float = 0.0,
    oversampling: int = 2,
    device: str = "cpu",
) -> Tensor:
    """Return the diffraction patterns of probes on atoms, fractions of the electrons of each, as `scan` orders them.

    Atoms further from all probes than half a window are left out.

    Parameters
    ----------
    position, numbers
        p of each atom, angstrom, shape (atoms, 3), and its atomic number.
    probes
        x and y of each probe, angstrom, shape (probes, 2).
    grid
        Window of the waves.
    semi_angle, aberrations
        Of the probe, mrad, focused at p_z = 0.
    thickness
        Of a slice, angstrom.
    width
        Standard deviation of a Gaussian that blurs the potential, angstrom.
    oversampling
        Pixels of the potential along the edge of one of the waves.
    device
        Where torch computes.
    """
    half = np.array([grid.columns, grid.rows]) * grid.pixel / 2
    low, high = probes.min(0) - half, probes.max(0) + half
    low = np.floor(low / grid.pixel) * grid.pixel  # the same pixels whichever probes are asked for
    seen = ((position[:, :2] >= low) & (position[:, :2] < high)).all(axis=1)
    columns, rows = (good_size(math.ceil(size / grid.pixel) + 1) for size in high - low)
    field = replace(grid, rows=rows, columns=columns)
    with torch.no_grad():
        where = torch.from_numpy(probes - low).to(device)
        step = propagator(grid, thickness, device=device)
        if not seen.any():
            return scan([], probe_behind(grid, semi_angle, aberrations, 0.0, device=device), where, grid, step)
        first = potential.slice_indices(position[seen, 2], thickness)[2]
        spectrum = probe_behind(grid, semi_angle, aberrations, (first + 0.5) * thickness, device=device)
        moved = position[seen] - np.array([*low, 0.0])
        slices = transmissions(
            moved, numbers[seen], field, thickness, width=width, oversampling=oversampling, device=device
        )
        return scan(slices, spectrum, where, grid, step)


def transmissions(
    position: F64,
    numbers: NDArray[np.integer],
    grid: WaveGrid,
    thickness: float,
    *,
    width: float,
    oversampling: int,
    device: str,
) -> Iterator[Tensor | None]:
    """Yield the transmission functions of slices of atoms, None where there is vacuum.

    Parameters
    ----------
    position, numbers
        x and y from the first pixel and p_z, angstrom, shape (atoms, 3), and the atomic number of each.
    grid, thickness, width, oversampling, device
        As `patterns_of_atoms` takes them.
    """
    elements, kind = np.unique(numbers, return_inverse=True)
    fine = grid.finer(oversampling)
    factors = potential.form_factors(elements.tolist(), fine, width=width, device=device)
    for one in potential.slice_potentials(position, kind, factors, fine, thickness):
        yield None if one is None else transmission(one, grid)


def patterns_of_volume(
    coefficients: Tensor,
    rotation: Tensor,
    shape: tuple[int, int, int],
    position: Tensor,
    spectrum: Tensor,
    grid: WaveGrid,
) -> Tensor:
    """Return the diffraction patterns of probes on a volume of potential at a pose, as `scan` orders them.

    Each plane of voxels is a slice, which acts at its middle. Differentiable in the volume, the pose, the probe and
    its positions.

    Parameters
    ----------
    coefficients
        Of the potential in V, from `kernels.turning.spline_coefficients`, axes z, y, x; voxels of `grid.pixel`.
    rotation
        R of the pose, shape (3, 3): the camera sees V(R p).
    shape
        Voxels along p_z, p_y, p_x of the part that is seen, around the middle of the volume.
    position
        x and y of each probe from the first pixel of that part, angstrom, shape (probes, 2).
    spectrum
        Of the probe at the first plane, for a probe at the first pixel, shape of the grid.
    grid
        Window of the waves; of the size of the part that is seen, it is periodic.
    """
    field = replace(grid, rows=shape[1], columns=shape[2])
    slices = (transmission(one * grid.pixel, field) for one in turned_slices(coefficients, rotation, shape))
    step = propagator(grid, grid.pixel, device=coefficients.device, dtype=spectrum.dtype)
    return scan(slices, spectrum, position, grid, step)
