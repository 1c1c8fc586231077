"""Potentials of atoms, summed along the beam in slices, exact below the pixel."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aetx.kernels import scattering
from aetx.kernels.multislice import WaveGrid
from aetx.kernels.optics import turns

F64 = NDArray[np.float64]
Parametrisation = Literal["kirkland", "lobato"]


def form_factors(
    numbers: Sequence[int],
    grid: WaveGrid,
    *,
    width: float = 0.0,
    parametrisation: Parametrisation = "kirkland",
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Return the spectrum of the potential of one atom of each element, as `slice_potential` takes it.

    Parameters
    ----------
    numbers
        Atomic numbers.
    grid
        Of the slices.
    width
        Standard deviation of a Gaussian that blurs the atoms, angstrom: exp(-2 pi**2 width**2 q**2).
    parametrisation
        Whose scattering factors.
    device, dtype
        Of the result.

    Returns
    -------
    Shape (elements, rows, columns // 2 + 1), V angstrom; 0 at the frequency of Nyquist, whose sign is not known.
    """
    qy, qx = _half_frequencies(grid)
    q = np.hypot(qy[:, None], qx)
    factor = scattering.kirkland if parametrisation == "kirkland" else scattering.lobato
    blur = np.exp(-2 * (math.pi * width * q) ** 2) * scattering.VOLT / grid.pixel**2
    nyquist = 0.5 / grid.pixel * (1 - 1e-9)
    blur[(np.abs(qy)[:, None] >= nyquist) | (qx >= nyquist)] = 0
    made = np.stack([factor(int(number), q) * blur for number in numbers])
    return torch.from_numpy(made).to(device=device, dtype=dtype)


def slice_potential(position: Tensor, kind: Tensor, factors: Tensor, grid: WaveGrid) -> Tensor:
    """Return the potential of the atoms of a slice, each at its exact place.

    Parameters
    ----------
    position
        x and y of each atom from the first pixel, angstrom, shape (atoms, 2), float64; the box is periodic.
    kind
        Row of `factors` that each atom has, shape (atoms,).
    factors
        As `form_factors` gives them.
    grid
        Of the slice.

    Returns
    -------
    V angstrom, shape (rows, columns), of the dtype of `factors`; differentiable in the positions.
    """
    qy, qx = (torch.from_numpy(q).to(position.device) for q in _half_frequencies(grid))
    total: Tensor | None = None
    for i in range(len(factors)):
        among = position[kind == i]
        if len(among):
            along, across = turns(qy, among[:, 1], factors.dtype), turns(qx, among[:, 0], factors.dtype)
            part = (along.T @ across) * factors[i]
            total = part if total is None else total + part
    if total is None:
        return factors.new_zeros(grid.rows, grid.columns)
    return torch.fft.irfft2(total, s=(grid.rows, grid.columns))


def slice_indices(height: F64, thickness: float) -> tuple[NDArray[np.int64], int, int]:
    """Return the slice of each atom, counted from the first that has one, how many there are, and the first's number.

    Slice k spans heights from k * thickness to (k + 1) * thickness, so that height 0 is always a face.

    Parameters
    ----------
    height
        p_z of each atom, angstrom, shape (atoms,), at least one.
    thickness
        Of a slice, angstrom.
    """
    number = np.floor(height / thickness).astype(np.int64)
    first = int(number.min())
    return number - first, int(number.max()) - first + 1, first


def slice_potentials(
    position: F64, kind: NDArray[np.integer], factors: Tensor, grid: WaveGrid, thickness: float
) -> Iterator[Tensor | None]:
    """Give the potential of one slice after the other, None where a slice has no atoms.

    Parameters
    ----------
    position
        x and y from the first pixel and p_z of each atom, angstrom, shape (atoms, 3).
    kind, factors, grid
        As `slice_potential` takes them.
    thickness
        Of a slice, angstrom; `slice_indices` tells where the first one lies.
    """
    number, count, _ = slice_indices(position[:, 2], thickness)
    for i in range(count):
        chosen = number == i
        if not chosen.any():
            yield None
            continue
        where = torch.from_numpy(position[chosen, :2]).to(factors.device)
        yield slice_potential(where, torch.from_numpy(kind[chosen]).to(factors.device), factors, grid)


def _half_frequencies(grid: WaveGrid) -> tuple[F64, F64]:
    qy, qx = np.fft.fftfreq(grid.rows, grid.pixel), np.fft.rfftfreq(grid.columns, grid.pixel)
    return qy.astype(np.float64), qx.astype(np.float64)
