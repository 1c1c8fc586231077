"""Images of local orbitals whose probe depends on the depth: drawn, changed, and gathered back."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.fft import fftfreq, irfft2, next_fast_len, rfft2, rfftfreq

from aetx.kernels.optics import Aberrations, probe
from aetx.kernels.rendering import render
from aetx.kernels.scattering import wavelength
from aetx.kernels.sensitivity import Lines, collect, lines
from aetx.kernels.sensitivity import change as change_of

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
C64 = NDArray[np.complex64]

SHIFT_X, SHIFT_Y, TURN_X, TURN_Y, TURN_Z, SCALE, BACKGROUND = range(7)
"""What is unknown of an image: shifts in angstrom, turns about the axes of the camera in radian, factor, offset."""
BAND = 0.9
"""Part of the band of a probe's intensity that fine pixels must carry: beyond it less than 4 % are transferred."""


@dataclass(frozen=True)
class Unknowns:
    """Values of all unknowns, or changes of them, or derivatives by them. N atoms, T images, K slices."""

    position: F64
    """Angstrom from the rotation centre, shape (N, 3)."""
    height: F64
    """Integral of each atom over an image, shape (N,)."""
    width: F64
    """Gaussian standard deviation, angstrom, shape (N,)."""
    tilt: F64
    """Of each image, shape (T, 7): shifts, turns beyond those of the model (as values 0), factor, offset."""
    probe: F32
    """What each probe has beside the nominal one in a window around its middle, shape (1 or T or 0, K, edge, edge)."""

    def vector(self) -> F64:
        """Return all values in one row."""
        parts = (self.position, self.height, self.width, self.tilt, self.probe)
        return np.concatenate([np.asarray(part, np.float64).ravel() for part in parts])

    def filled(self, vector: F64) -> Unknowns:
        """Return unknowns of the same shapes from a row of values."""
        shapes = [part.shape for part in (self.position, self.height, self.width, self.tilt, self.probe)]
        ends = np.cumsum([math.prod(shape) for shape in shapes])[:-1]
        made: list[F64] = [values.reshape(shape) for values, shape in zip(np.split(vector, ends), shapes, strict=True)]
        position, height, width, tilt, probe = made
        return Unknowns(position, height, width, tilt, probe.astype(np.float32))

    def zero(self) -> Unknowns:
        """Return zeros of the same shapes, to be added to."""
        return self.filled(np.zeros(self.vector().size))


class Told(NamedTuple):
    """Derivatives that one image has to add.

    By all atoms, (N, 3), (N,) and (N,); by its own unknowns, (7,); by its probes, (K, tall, half) in Fourier space.
    """

    position: F64
    height: F64
    width: F64
    tilt: F64
    probe: C64 | None


class Group(NamedTuple):
    """Atoms of one sort that act in one slice, or in one field of a basis."""

    slice: int
    sort: int
    atoms: I64
    share: F64
    """Part of each atom in this slice."""
    slope: F64
    """Its derivative by the depth, 1/angstrom."""


class Basis(NamedTuple):
    """Probes of all slices as sums of a few fields: probe k is the sum of mixing[k, m] field[m]."""

    mixing: F64
    """Shape (K, M)."""
    field: C64
    """Half spectra, shape (M, tall, half)."""


@dataclass(frozen=True)
class Model:
    """How atoms become images. The fine grid has `finer` pixels along the edge of one of the image, and a margin."""

    rows: int
    columns: int
    step: float
    """Edge of a pixel of the image, angstrom."""
    corner: tuple[float, float]
    """x and y of its first pixel, angstrom."""
    finer: int
    margin: int
    """Fine pixels around the image."""
    turn: F64
    """R of each image, shape (T, 3, 3)."""
    sort: I64
    """Which form each atom has, shape (N,)."""
    form: F32 | None
    """Transforms of the orbitals before their Gaussian blur, shape (sorts, tall, half); none for Gaussians."""
    nominal: C64 | None
    """Transforms of the nominal probes, shape (K, tall, half); none for no dependence on the depth."""
    first: float
    """Depth p_z of the middle of the first slice, angstrom."""
    thickness: float
    basis: Basis | None = None
    """The nominal probes as sums of fewer fields; none to use them one by one."""

    @property
    def slices(self) -> int:
        """Number of slices."""
        return 1 if self.nominal is None else len(self.nominal)

    @property
    def per_angstrom(self) -> float:
        """Fine pixels per angstrom."""
        return self.finer / self.step

    @property
    def shape(self) -> tuple[int, int]:
        """Size of the fine grid."""
        return fine_shape(self.rows, self.columns, self.finer, self.margin)

    @property
    def plain(self) -> bool:
        """Whether images are drawn without a convolution."""
        return self.form is None and self.nominal is None


def fine_shape(rows: int, columns: int, finer: int, margin: int) -> tuple[int, int]:
    """Return the size of the fine grid, quick to transform; as large as the image where it is the image."""
    if finer == 1 and margin == 0:
        return rows, columns
    tall, wide = (next_fast_len(finer * size + 2 * margin, real=True) for size in (rows, columns))
    return tall, wide


def finer_pixels(step: float, kev: float, semi_angle: float) -> int:
    """Return along how many fine pixels the edge of a pixel must be cut to carry the intensity of a probe.

    Parameters
    ----------
    step
        Edge of a pixel, angstrom.
    kev, semi_angle
        Energy, keV, and aperture, mrad.
    """
    return max(1, math.ceil(BAND * step * 4e-3 * semi_angle / wavelength(kev)))


def nominal_probes(
    shape: tuple[int, int], step: float, kev: float, semi_angle: float, aberrations: Aberrations, depth: F64
) -> C64:
    """Return the transforms of the intensities of a probe at depths, each with the sum one.

        p(r; z) = |F**-1[ A(q) exp(-i chi(q) - i pi lambda z q**2) ]|**2

    Parameters
    ----------
    shape, step
        Of the grid, periodic; angstrom.
    kev, semi_angle, aberrations
        keV, mrad; the lens as it is at p_z = 0.
    depth
        p_z, angstrom, shape (K,).

    Returns
    -------
    Half spectra, shape (K, rows, columns // 2 + 1).

    References
    ----------
    E. Bosch, I. Lazic, Ultramicroscopy 207, 112831 (2019), doi:10.1016/j.ultramic.2019.112831.
    """
    length = wavelength(kev)
    qy = torch.fft.fftfreq(shape[0], step, dtype=torch.float64)[:, None]
    qx = torch.fft.fftfreq(shape[1], step, dtype=torch.float64)[None]
    edge = length * 1e3 / (min(shape) * step)
    made = np.empty((len(depth), shape[0], shape[1] // 2 + 1), np.complex64)
    for k, z in enumerate(depth):
        wave = probe(qy, qx, length, semi_angle, edge, replace(aberrations, c10=aberrations.c10 + float(z)))
        intensity = torch.fft.ifft2(wave).abs().square().numpy()
        made[k] = rfft2(intensity / intensity.sum())
    return made


def basis_of(nominal: C64, tolerance: float) -> Basis:
    """Return the fewest fields whose sums are the probes of all slices but for a part of their norm.

    Parameters
    ----------
    nominal
        Half spectra, shape (K, tall, half).
    tolerance
        Largest norm of what a probe may miss, over its own.
    """
    flat = nominal.reshape(len(nominal), -1)
    gram = np.asarray((flat @ flat.conj().T).real, np.float64)
    values, vectors = np.linalg.eigh(gram)
    missed = np.sqrt(np.maximum(np.cumsum(vectors**2 * values, axis=1), 0.0) / np.diagonal(gram)[:, None])
    few = min(int((missed.max(axis=0) <= tolerance).sum()), len(nominal) - 1)
    mixing = np.ascontiguousarray(vectors[:, few:])
    return Basis(mixing, np.tensordot(mixing.T.astype(np.float32), nominal, axes=1).astype(np.complex64))


def forms(factors: list[Callable[[F64], F64]], shape: tuple[int, int], step: float) -> F32:
    """Tabulate transforms of orbitals, which are one at q = 0, on the half grid of a real transform.

    Parameters
    ----------
    factors
        g(q) from q in 1/angstrom, one for each sort.
    shape, step
        Of the grid; angstrom.
    """
    q = np.hypot(fftfreq(shape[0], step)[:, None], rfftfreq(shape[1], step))
    return np.stack([factor(q.ravel()).reshape(q.shape) for factor in factors]).astype(np.float32)


def slater(decay: float) -> Callable[[F64], F64]:
    """Return the transform of a Slater orbital exp(-r / decay) of unit integral: (1 + (2 pi q decay)**2)**-2."""

    def factor(q: F64) -> F64:
        return (1.0 + (2.0 * math.pi * decay * q) ** 2) ** -2

    return factor


class View:
    """One image of the atoms: where they are in it, and in which slices."""

    def __init__(self, model: Model, now: Unknowns, index: int, transfer: C64 | None) -> None:
        """See an image.

        Parameters
        ----------
        model, now
            How, and what.
        index
            Of the image.
        transfer
            Transforms of its probes, shape (K, tall, half); none for the nominal ones.
        """
        self.model, self.index = model, index
        self.mixing = model.basis.mixing if transfer is None and model.basis is not None else None
        nominal = model.nominal if model.basis is None else model.basis.field
        self.transfer = nominal if transfer is None else transfer
        tilt = now.tilt[index]
        self.turn = model.turn[index]
        self.seen = now.position @ self.turn
        across = self.seen[:, :2] + tilt[:2] - np.array(model.corner)
        self.x, self.y = np.ascontiguousarray(across.T * model.per_angstrom + model.margin)
        self.scale, self.background = tilt[SCALE], tilt[BACKGROUND]
        self.unit = now.height * model.per_angstrom**2
        self.height = self.unit * self.scale
        self.width = now.width * model.per_angstrom
        self.groups = list(self._grouped())
        self.spectra: list[C64] = []

    def _grouped(self) -> Iterator[Group]:
        """Share each atom between the two slices whose middles are next to it; beyond the last it is in that one."""
        model = self.model
        count = len(self.x)
        if model.slices == 1:
            for sort in range(1 if model.form is None else len(model.form)):
                some = np.arange(count) if model.form is None else np.flatnonzero(model.sort == sort)
                yield Group(0, sort, some, np.ones(some.size), np.zeros(some.size))
            return
        place = (self.seen[:, 2] - model.first) / model.thickness
        lower = np.clip(np.floor(place), 0, model.slices - 2).astype(np.int64)
        part = np.clip(place - lower, 0.0, 1.0)
        slope = np.where((place >= 0) & (place <= model.slices - 1), 1.0 / model.thickness, 0.0)
        if self.mixing is not None:
            yield from self._mixed(self.mixing, lower, part, slope)
            return
        for sort in range(1 if model.form is None else len(model.form)):
            chosen = np.arange(count) if model.form is None else np.flatnonzero(model.sort == sort)
            order = chosen[np.argsort(lower[chosen], kind="stable")]
            ends = np.searchsorted(lower[order], np.arange(-1, model.slices + 1))
            for k in range(model.slices):
                above, here = order[ends[k] : ends[k + 1]], order[ends[k + 1] : ends[k + 2]]
                if above.size + here.size:
                    share = np.concatenate([part[above], 1.0 - part[here]])
                    yield Group(
                        k, sort, np.concatenate([above, here]), share, np.concatenate([slope[above], -slope[here]])
                    )

    def _mixed(self, mixing: F64, lower: I64, part: F64, slope: F64) -> Iterator[Group]:
        """Give all atoms a share in each field of the basis, which may be negative."""
        form = self.model.form
        for sort in range(1 if form is None else len(form)):
            some = np.arange(lower.size) if form is None else np.flatnonzero(self.model.sort == sort)
            below, above = mixing[lower[some]], mixing[lower[some] + 1]
            share = below + part[some, None] * (above - below)
            change = slope[some, None] * (above - below)
            for m in range(mixing.shape[1]):
                yield Group(m, sort, some, np.ascontiguousarray(share[:, m]), np.ascontiguousarray(change[:, m]))

    def image(self) -> F32:
        """Draw the image."""
        drawn = (self._drawn(group) for group in self.groups)
        return self._convolved(drawn) + np.float32(self.background)

    @cached_property
    def lines(self) -> Lines:
        """Of all atoms."""
        return lines(self.x, self.y, self.width, *self.model.shape)

    def _lines_of(self, atoms: I64) -> Lines:
        if np.array_equal(atoms, np.arange(len(self.x))):
            return self.lines
        return Lines(self.lines.value[atoms], self.lines.span[atoms])

    def change(self, by: Unknowns, probe: C64 | None) -> F32:
        """Return the change of the image by changes of the unknowns and of the transforms of its probes."""
        model, tilt = self.model, by.tilt[self.index]
        moved = by.position @ self.turn + np.cross(self.seen, tilt[TURN_X : TURN_Z + 1])
        dx = (moved[:, 0] + tilt[SHIFT_X]) * model.per_angstrom
        dy = (moved[:, 1] + tilt[SHIFT_Y]) * model.per_angstrom
        rise = by.height * (model.per_angstrom**2 * self.scale) + self.unit * tilt[SCALE]
        widening = by.width * model.per_angstrom

        def drawn() -> Iterator[F32]:
            for _, _, atoms, share, slope in self.groups:
                height = self.height[atoms]
                yield change_of(
                    self._lines_of(atoms),
                    height * share,
                    dx[atoms],
                    dy[atoms],
                    rise[atoms] * share + height * slope * moved[atoms, 2],
                    widening[atoms],
                    *model.shape,
                )

        return self._convolved(drawn(), probe) + np.float32(tilt[BACKGROUND])

    def gather(self, image: F32, probes: bool) -> Told:
        """Return the derivatives of sum(image * picture) by all unknowns: the transpose of `change`."""
        model = self.model
        by_place, by_height, by_width = np.zeros((len(self.x), 3)), np.zeros(len(self.x)), np.zeros(len(self.x))
        by_probe = np.zeros((model.slices, *half_of(model.shape)), np.complex64) if probes else None
        spread = np.zeros((0, 0), np.complex64) if model.plain else rfft2(self._spread(image))
        for number, (k, sort, atoms, share, slope) in enumerate(self.groups):
            field = image if model.plain else irfft2(spread * self._transfer(k, sort).conj(), model.shape)
            height = self.height[atoms]
            found = collect(field, self._lines_of(atoms), height * share)
            by_place[atoms, :2] += found[:, :2] * model.per_angstrom
            by_place[atoms, 2] += found[:, 2] * height * slope
            by_height[atoms] += found[:, 2] * share
            by_width[atoms] += found[:, 3]
            if by_probe is not None:
                by_probe[k] += spread * self.spectrum(number).conj()
        tilt = np.empty(7)
        tilt[:TURN_X] = by_place[:, :2].sum(0)
        tilt[TURN_X:SCALE] = np.cross(by_place, self.seen).sum(0)
        tilt[SCALE] = by_height @ self.unit
        tilt[BACKGROUND] = image.sum(dtype=np.float64)
        return Told(
            by_place @ self.turn.T,
            by_height * (model.per_angstrom**2 * self.scale),
            by_width * model.per_angstrom,
            tilt,
            by_probe,
        )

    def spectrum(self, number: int) -> C64:
        """Return the transform of the atoms of a group; all are kept from the first time on."""
        if not self.spectra:
            self.spectra = [
                rfft2(self._drawn(group)) * (1 if self.model.form is None else self.model.form[group.sort])
                for group in self.groups
            ]
        return self.spectra[number]

    def _drawn(self, group: Group) -> F32:
        atoms = group.atoms
        height, width = self.height[atoms] * group.share, self.width[atoms]
        drawn: F32 = render(self.x[atoms], self.y[atoms], height, width, *self.model.shape)
        return drawn

    def _transfer(self, k: int, sort: int) -> C64 | F32:
        form = self.model.form
        if self.transfer is None:
            assert form is not None
            one: F32 = form[sort]
            return one
        both: C64 = self.transfer[k] if form is None else self.transfer[k] * form[sort]
        return both

    def _convolved(self, drawn: Iterator[F32], probe: C64 | None = None) -> F32:
        model = self.model
        if model.plain:
            return next(drawn)
        total = np.zeros(half_of(model.shape), np.complex64)
        for number, (group, one) in enumerate(zip(self.groups, drawn, strict=True)):
            total += rfft2(one) * self._transfer(group.slice, group.sort)
            if probe is not None:
                total += self.spectrum(number) * probe[group.slice]
        fine = irfft2(total, model.shape)[model.margin :, model.margin :]
        return np.ascontiguousarray(fine[:: model.finer, :: model.finer][: model.rows, : model.columns])

    def _spread(self, image: F32) -> F32:
        """Return the transpose of taking the image out of the fine grid."""
        model = self.model
        made = np.zeros(model.shape, np.float32)
        tall, wide = model.rows * model.finer, model.columns * model.finer
        inner = made[model.margin : model.margin + tall, model.margin : model.margin + wide]
        inner[:: model.finer, :: model.finer] = image
        return made


def transforms(windows: F32, shape: tuple[int, int]) -> C64:
    """Return the transforms of windows around the middle of a probe: (K, edge, edge) to (K, tall, half)."""
    return np.stack([rfft2(embedded(one, shape)) for one in windows])


def half_of(shape: tuple[int, int]) -> tuple[int, int]:
    """Return the size of the half spectrum of a real field."""
    return shape[0], shape[1] // 2 + 1


def embedded(window: F32, shape: tuple[int, int]) -> F32:
    """Return a periodic field around pixel (0, 0) with the values of a window, shape (edge, edge), edge odd."""
    half = window.shape[0] // 2
    made = np.zeros(shape, np.float32)
    around = np.arange(-half, half + 1)
    made[np.ix_(around % shape[0], around % shape[1])] = window
    return made


def window_of(field: F32, edge: int) -> F32:
    """Return the window of an odd edge around pixel (0, 0) of a periodic field."""
    around = np.arange(-(edge // 2), edge // 2 + 1)
    return field[np.ix_(around % field.shape[0], around % field.shape[1])]


def nominal_windows(model: Model, edge: int) -> F32:
    """Return the nominal probes in windows around their middles, shape (K, edge, edge)."""
    if model.nominal is None:
        return np.zeros((model.slices, edge, edge), np.float32)
    return np.stack([window_of(irfft2(one, model.shape), edge) for one in model.nominal])
