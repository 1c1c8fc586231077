"""PRISM: a scan from plane waves that go through the specimen once."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray

from aetx.kernels.multislice import crop, good_size, multislice, propagator
from aetx.kernels.optics import probe, ring, turns
from aetx.kernels.stem import CACHED, F32, F64, ON_DEVICE, Box, Optics, Slicing, Specimen, at_plane, window_of

TOGETHER = 8
"""Probes of a row that share one product and one window."""


def scan_prism(
    box: Box,
    position: F64,
    numbers: NDArray[np.integer],
    x: F64,
    y: F64,
    wanted: NDArray[np.bool_],
    optics: Optics,
    slicing: Slicing,
    interpolation: int,
    device: str,
) -> F32:
    """Return the fraction of the electrons of each probe of a raster that reaches the detector, by PRISM.

    Each f-th plane wave of the probe goes through the slices once; a probe is their sum, in a window of 1 / f of the
    box. The sum runs over q_y once for each row of the raster, then over q_x for each probe, which the separable
    phase exp(-2 pi i (q_x x + q_y y)) allows. With f = 1 the result is that of multislice in the whole box.

    Parameters
    ----------
    box
        Around the atoms.
    position, numbers
        p of each atom, angstrom, shape (atoms, 3), and its atomic number.
    x, y
        Of the columns and the rows of the raster, angstrom.
    wanted
        Which probes to compute, shape (rows, columns).
    optics
        Of the microscope.
    slicing
        Of the specimen.
    interpolation
        The factor f.
    device
        Where torch computes.

    Returns
    -------
    Shape (rows, columns), 0 where not wanted.

    References
    ----------
    C. Ophus, Advanced Structural and Chemical Imaging 3, 13 (2017), doi:10.1186/s40679-017-0046-1.
    """
    found = np.zeros(wanted.shape, np.float32)
    with torch.no_grad():
        beams = Beams(box, position, numbers, optics, slicing, interpolation, device)
        for row in np.flatnonzero(wanted.any(axis=1)):
            columns = np.flatnonzero(wanted[row])
            found[row, columns] = beams.row(y[row] - box.corner[1], x[columns] - box.corner[0])
    return found


class Beams:
    """The scattering matrix: the plane waves of a probe behind the specimen, each weighted as the lens does.

    It is sampled just as finely as the band of the waves asks for, and lies in memory by rows: shape (rows, beams,
    columns), beams of equal q_x side by side.
    """

    def __init__(
        self,
        box: Box,
        position: F64,
        numbers: NDArray[np.integer],
        optics: Optics,
        slicing: Slicing,
        interpolation: int,
        device: str,
    ) -> None:
        specimen = Specimen(box, position, numbers, slicing, device)
        grid, f = box.grid, interpolation
        size = grid.rows * grid.pixel, grid.columns * grid.pixel
        self.window = tuple(
            good_size(math.ceil((2 * math.floor(grid.band * n / 2) + 1) / f)) for n in (grid.rows, grid.columns)
        )
        shape = self.window[0] * f, self.window[1] * f
        self.pixel = size[0] / shape[0], size[1] / shape[1]
        edge = grid.wavelength * 1e3 * f / min(size)
        reach = (optics.semi_angle + edge) * 1e-3 / grid.wavelength
        order_y, order_x = (f * torch.arange(-n, n + 1) for n in (math.ceil(reach * one / f) for one in size))
        qy, qx = order_y.double()[:, None] / size[0], order_x.double()[None, :] / size[1]
        weight = probe(qy, qx, grid.wavelength, optics.semi_angle, edge, at_plane(optics, specimen.plane))
        of_x, of_y = torch.nonzero((weight != 0).T, as_tuple=True)
        counts = torch.bincount(of_x, minlength=len(order_x))
        self.counts = counts[counts > 0].tolist()
        self.qy, self.qx = qy[of_y, 0].to(device), qx[0, counts > 0].to(device)
        weights = weight[of_y, of_x].to(device=device, dtype=torch.complex64)
        qy, qx = (
            torch.fft.fftfreq(self.window[i], self.pixel[i], dtype=torch.float64, device=device) for i in range(2)
        )
        self.ring = ring(qy[:, None], qx, grid.wavelength, optics.inner, optics.outer, edge).float()
        self.matrix = torch.empty(shape[0], len(of_y), shape[1], dtype=torch.complex64, device=device)
        step = propagator(grid, slicing.thickness, device=device)
        together = max(1, (CACHED if device == "cpu" else ON_DEVICE) // (grid.rows * grid.columns))
        for first in range(0, len(of_y), together):
            some = slice(first, min(first + together, len(of_y)))
            start = torch.zeros(some.stop - first, grid.rows, grid.columns, dtype=torch.complex64, device=device)
            start[torch.arange(len(start)), order_y[of_y[some]], order_x[of_x[some]]] = weights[some]
            left = multislice(start, specimen.slices, step)
            self.matrix[:, some] = torch.fft.ifft2(crop(left, *shape), norm="forward").transpose(0, 1)

    def row(self, y: float, x: F64) -> F32:
        """Return what is detected of probes of one row, at y and each x from the first pixel, angstrom."""
        height = self.window[0]
        whole = self.matrix.shape[0] == height
        down = 0 if whole else round(y / self.pixel[0]) - height // 2
        strip = window_of(self.matrix.transpose(0, 1), down, 0, height, self.matrix.shape[2]).transpose(0, 1)
        phase = turns(self.qy, torch.tensor([y], device=self.qy.device), torch.float32)[0]
        summed = torch.empty(height, len(self.counts), strip.shape[2], dtype=torch.complex64, device=strip.device)
        first = 0
        for i, count in enumerate(self.counts):
            some = slice(first, first + count)
            summed[:, i] = torch.bmm(phase[some].expand(height, 1, count), strip[:, some])[:, 0]
            first += count
        parts = [self._probes(summed, x[i : i + TOGETHER], whole) for i in range(0, len(x), TOGETHER)]
        found: F32 = torch.cat(parts).cpu().numpy()
        return found

    def _probes(self, summed: torch.Tensor, x: F64, whole: bool) -> torch.Tensor:
        width = self.window[1]
        across = np.zeros(len(x), int) if whole else np.round(x / self.pixel[1]).astype(int) - width // 2
        part = window_of(summed, 0, int(across[0]), len(self.counts), width + int(across[-1] - across[0]))
        phase = turns(self.qx, torch.from_numpy(x).to(summed.device), torch.float32)
        waves = torch.matmul(phase, part)
        offsets = (across - across[0]).tolist()
        probes = torch.stack([waves[:, i, start : start + width] for i, start in enumerate(offsets)])
        spectra = torch.fft.fft2(probes, norm="forward")
        return torch.einsum("pyx,yx->p", spectra.real.square() + spectra.imag.square(), self.ring)
