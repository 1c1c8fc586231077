"""Scanned probes through the atoms of one configuration, by multislice in the whole box or in windows."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aetx.kernels import potential as atoms_potential
from aetx.kernels.multislice import (
    WaveGrid,
    annulus,
    detected,
    edge_width,
    good_size,
    multislice,
    propagator,
    transmission,
)
from aetx.kernels.optics import Aberrations, probe, shift

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

CELL = 1.0
"""Edge of the squares whose probes share a window, angstrom."""
TILE, MARGIN = 24.0, 3.0
"""Edge of the squares of a large box whose slices are held at a time, and how far atoms reach into them, angstrom."""
CACHED = 2**19
"""Pixels of the waves that go through the slices together on a processor: they stay in its cache."""
ON_DEVICE = 2**26
"""The same on an accelerator."""


@dataclass(frozen=True)
class Optics:
    """Energy in keV, angles in mrad, aberrations at the plane p_z = 0."""

    kev: float
    semi_angle: float
    inner: float
    outer: float
    aberrations: Aberrations


@dataclass(frozen=True)
class Box:
    """The periodic box that holds the atoms: its grid, and where its first pixel lies (x, y), angstrom."""

    grid: WaveGrid
    corner: tuple[float, float]


@dataclass(frozen=True)
class Slicing:
    """Thickness of the slices, angstrom, and how many pixels of the potential a pixel of the waves has on its edge."""

    thickness: float
    oversampling: int


def box_around(position: F64, margin: float, pixel: float, kev: float) -> Box:
    """Return a box around atoms of shape (atoms, 2 or 3) with at least `margin` on all sides, angstrom."""
    low, high = position[:, :2].min(axis=0), position[:, :2].max(axis=0)
    columns, rows = (good_size(math.ceil((size + 2 * margin) / pixel)) for size in high - low)
    middle = (low + high) / 2
    corner = (float(middle[0] - columns * pixel / 2), float(middle[1] - rows * pixel / 2))
    return Box(WaveGrid(rows, columns, pixel, kev), corner)


class Specimen:
    """Transmission functions of the slices of atoms in a box, and how deep the first of them acts.

    `slices` holds None where there are no atoms; `plane` is p_z of the middle of the first slice, angstrom; `inside`
    are the rows and columns of the atoms of each slice, in pixels.
    """

    def __init__(self, box: Box, position: F64, numbers: NDArray[np.integer], slicing: Slicing, device: str) -> None:
        thickness, fine = slicing.thickness, box.grid.finer(slicing.oversampling)
        elements, kind = np.unique(numbers, return_inverse=True)
        factors = atoms_potential.form_factors(elements.tolist(), fine, device=device)
        moved = position - np.array([*box.corner, 0.0])
        potentials = atoms_potential.slice_potentials(moved, kind, factors, fine, thickness)
        self.slices = [None if one is None else transmission(one, box.grid) for one in potentials]
        number, _, first = atoms_potential.slice_indices(position[:, 2], thickness)
        self.plane = (first + 0.5) * thickness
        pixels = moved[:, 1::-1] / box.grid.pixel
        self.inside = [pixels[number == i] for i in range(len(self.slices))]


def at_plane(optics: Optics, plane: float) -> Aberrations:
    """Return the aberrations as they are at a plane p_z, having focused at p_z = 0."""
    return replace(optics.aberrations, c10=optics.aberrations.c10 + plane)


def vacuum(grid: WaveGrid, optics: Optics) -> float:
    """Return the fraction of an undisturbed probe that falls on the detector."""
    qy, qx = grid.frequencies()
    wave = probe(qy, qx, grid.wavelength, optics.semi_angle, edge_width(grid), optics.aberrations)
    return float(detected(wave, annulus(grid, optics.inner, optics.outer).double()))


def scan_multislice(
    box: Box,
    position: F64,
    numbers: NDArray[np.integer],
    probes: F64,
    optics: Optics,
    slicing: Slicing,
    window: float,
    device: str,
) -> F32:
    """Return the fraction of the electrons of each probe that reaches the detector, by multislice.

    Parameters
    ----------
    box
        Around the atoms.
    position, numbers
        p of each atom, angstrom, shape (atoms, 3), and its atomic number.
    probes
        x and y of each probe, angstrom, shape (probes, 2).
    optics
        Of the microscope.
    slicing
        Of the specimen.
    window
        Edge of the part of the box around each probe in which its wave is followed, angstrom; 0 for the whole box.
    device
        Where torch computes.

    Returns
    -------
    Shape (probes,).
    """
    found = np.empty(len(probes), np.float32)
    with torch.no_grad():
        for part, among in _tiles(box, probes, window):
            low = np.array(part.corner)
            high = low + np.array([part.grid.columns, part.grid.rows]) * part.grid.pixel
            near = ((position[:, :2] >= low) & (position[:, :2] < high)).all(axis=1) | (part is box)
            if near.any():
                specimen = Specimen(part, position[near], numbers[near], slicing, device)
                found[among] = _scan(part, specimen, probes[among], optics, slicing.thickness, window, device)
            else:
                found[among] = vacuum(box.grid, optics)
    return found


def _tiles(box: Box, probes: F64, window: float) -> Iterator[tuple[Box, NDArray[np.intp]]]:
    """Give the parts of a large box that are computed one after the other, and the probes in each."""
    pixel = box.grid.pixel
    size = good_size(math.ceil((TILE + window + CELL + 2 * MARGIN) / pixel))
    if window == 0 or size >= max(box.grid.rows, box.grid.columns):
        yield box, np.arange(len(probes))
        return
    grid = replace(box.grid, rows=min(size, box.grid.rows), columns=min(size, box.grid.columns))
    keys, number = np.unique(np.floor(probes / TILE), axis=0, return_inverse=True)
    for i, key in enumerate(keys):
        middle = (key + 0.5) * TILE
        corner = (float(middle[0] - grid.columns * pixel / 2), float(middle[1] - grid.rows * pixel / 2))
        if grid.columns == box.grid.columns:
            corner = (box.corner[0], corner[1])
        if grid.rows == box.grid.rows:
            corner = (corner[0], box.corner[1])
        yield Box(grid, corner), np.flatnonzero(number == i)


def _scan(
    box: Box, specimen: Specimen, probes: F64, optics: Optics, thickness: float, window: float, device: str
) -> F32:
    size = good_size(math.ceil(window / box.grid.pixel)) if window > 0 else 0
    if size == 0 or size >= min(box.grid.rows, box.grid.columns):
        grid, cells = box.grid, [(0, 0, np.arange(len(probes)))]
    else:
        grid, cells = replace(box.grid, rows=size, columns=size), list(_cells(box, probes, size))
    beam = _Beam(grid, optics, specimen.plane, thickness, device)
    found = np.empty(len(probes), np.float32)
    for row, column, among in cells:
        slices = specimen.slices if grid is box.grid else _cut(specimen, box.grid, row, column, size)
        origin = np.array(box.corner) + np.array([column, row]) * grid.pixel
        for part in np.array_split(among, math.ceil(len(among) / beam.together)):
            found[part] = beam.through(slices, probes[part] - origin)
    return found


class _Beam:
    """What all probes on a grid share: spectrum at the first slice, propagator, detector."""

    def __init__(self, grid: WaveGrid, optics: Optics, plane: float, thickness: float, device: str) -> None:
        self.qy, self.qx = grid.frequencies(device)
        spectrum = probe(
            self.qy, self.qx, grid.wavelength, optics.semi_angle, edge_width(grid), at_plane(optics, plane)
        )
        self.spectrum = spectrum.to(torch.complex64)
        self.step = propagator(grid, thickness, device=device)
        self.detector = annulus(grid, optics.inner, optics.outer, device=device)
        self.together = max(1, (CACHED if device == "cpu" else ON_DEVICE) // (grid.rows * grid.columns))

    def through(self, slices: list[Tensor | None], where: F64) -> F32:
        """Return what is detected of probes at x and y from the first pixel."""
        moves = shift(self.qy, self.qx, torch.from_numpy(where).to(self.qy.device), torch.float32)
        found: F32 = detected(multislice(moves.mul_(self.spectrum), slices, self.step), self.detector).cpu().numpy()
        return found


def _cells(box: Box, probes: F64, size: int) -> Iterator[tuple[int, int, NDArray[np.intp]]]:
    """Give the first row and column of each window, and the probes that share it."""
    cell = np.floor(probes / CELL).astype(np.int64)
    keys, number = np.unique(cell, axis=0, return_inverse=True)
    order = np.argsort(number, kind="stable")
    for key, among in zip(keys, np.split(order, np.cumsum(np.bincount(number))[:-1]), strict=True):
        column, row = np.round(((key + 0.5) * CELL - np.array(box.corner)) / box.grid.pixel).astype(int) - size // 2
        yield int(row), int(column), among


def _cut(specimen: Specimen, grid: WaveGrid, row: int, column: int, size: int) -> list[Tensor | None]:
    """Return the slices within a window; None where no atom lies in it."""
    first, shape = np.array([row, column]), np.array([grid.rows, grid.columns])
    cut: list[Tensor | None] = []
    for passed, atoms in zip(specimen.slices, specimen.inside, strict=True):
        here = passed is not None and bool((np.mod(atoms - first, shape) < size).all(axis=1).any())
        cut.append(window_of(passed, row, column, size, size) if here and passed is not None else None)
    return cut


def window_of(field: Tensor, row: int, column: int, rows: int, columns: int) -> Tensor:
    """Return a part of a periodic field, of shape (..., y, x), that may lie across its edges."""
    down, across = row % field.shape[-2], column % field.shape[-1]
    if down + rows <= field.shape[-2] and across + columns <= field.shape[-1]:
        return field[..., down : down + rows, across : across + columns]
    y, x = (
        torch.arange(first, first + size, device=field.device) % whole
        for first, size, whole in ((down, rows, field.shape[-2]), (across, columns, field.shape[-1]))
    )
    return field.index_select(-2, y).index_select(-1, x)
