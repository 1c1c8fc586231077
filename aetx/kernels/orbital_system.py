"""The equations of a fit of local orbitals: what is free, the loss, its slope and its curvature along a change."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft2

from aetx.kernels.orbitals import (
    C64,
    SCALE,
    SHIFT_X,
    TURN_X,
    Model,
    Told,
    Unknowns,
    View,
    half_of,
    transforms,
    window_of,
)

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
Flags = NDArray[np.bool_]
T = TypeVar("T")


@dataclass(frozen=True)
class Freedom:
    """What may change, and what holds it."""

    positions: bool
    heights: bool
    widths: bool
    tilt: Flags
    """Which unknowns of an image are free, shape (7,)."""
    probes: bool
    tied_heights: bool
    """Heights of atoms of a sort change alike."""
    tied_widths: bool
    stiffness: float = 0.0
    """How strongly probes are held to the nominal ones, in units of what the images say about a pixel of them."""


@dataclass(frozen=True)
class Data:
    """Images that are fitted."""

    image: F32
    """Shape (T, rows, columns)."""
    seen: F32 | None
    """1 where a pixel is trusted, 0 elsewhere, of the same shape."""
    weight: F64
    """How much each image counts, shape (T,)."""
    used: Flags
    """Images that are fitted, shape (T,)."""
    kind: I64
    """Sort of each atom, shape (N,)."""
    workers: int
    """Images that are computed at a time."""

    def weighed(self, index: int, image: F32) -> F32:
        """Return an image times the weights of its pixels."""
        made = image * np.float32(self.weight[index])
        return made if self.seen is None else made * self.seen[index]


def each(model: Model, now: Unknowns, data: Data, work: Callable[[View], T], chosen: Flags) -> Iterator[tuple[int, T]]:
    """Give what a function makes of a view of each chosen image, in order, several at a time."""
    shared = _transfer(model, now, 0) if len(now.probe) == 1 else None

    def one(index: int) -> T:
        return work(View(model, now, index, _transfer(model, now, index) if shared is None else shared))

    indices = np.flatnonzero(chosen).tolist()
    if data.workers < 2:
        yield from ((index, one(index)) for index in indices)
        return
    with ThreadPoolExecutor(data.workers) as pool:
        for first in range(0, len(indices), data.workers):
            some = indices[first : first + data.workers]
            yield from zip(some, pool.map(one, some), strict=True)


def _transfer(model: Model, now: Unknowns, index: int) -> C64 | None:
    if model.nominal is None or not len(now.probe):
        return None
    changed: C64 = model.nominal + transforms(now.probe[0 if len(now.probe) == 1 else index], model.shape)
    return changed


class Total:
    """Derivatives by all unknowns, added up image by image."""

    def __init__(self, model: Model, like: Unknowns, probes: bool) -> None:
        """Begin at zero."""
        self.made, self.model = like.filled(np.zeros(like.vector().size)), model
        shared = probes and len(like.probe) == 1
        self.spectrum = np.zeros((model.slices, *half_of(model.shape)), np.complex64) if shared else None

    def add(self, index: int, told: Told) -> None:
        """Add what an image has told."""
        self.made.position[:] += told.position
        self.made.height[:] += told.height
        self.made.width[:] += told.width
        self.made.tilt[index] += told.tilt
        if told.probe is None:
            return
        if self.spectrum is None:
            self.made.probe[index] += self._windows(told.probe)
        else:
            self.spectrum += told.probe

    def finished(self) -> Unknowns:
        """Return the sum."""
        if self.spectrum is not None:
            self.made.probe[0] += self._windows(self.spectrum)
        return self.made

    def _windows(self, spectra: C64) -> F32:
        edge = self.made.probe.shape[-1]
        return np.stack([window_of(irfft2(one, self.model.shape), edge) for one in spectra])


def slope(model: Model, now: Unknowns, data: Data, free: Freedom) -> tuple[float, Unknowns]:
    """Return the loss and its derivatives by all unknowns."""

    def work(view: View) -> tuple[float, Told]:
        residual = view.image() - data.image[view.index]
        weighed = data.weighed(view.index, residual)
        return 0.5 * float(np.vdot(residual.astype(np.float64), weighed)), view.gather(weighed, free.probes)

    loss, total = 0.0, Total(model, now, free.probes)
    for index, (own, told) in each(model, now, data, work, data.used):
        loss += own
        total.add(index, told)
    found = total.finished()
    if free.probes:
        pull = free.stiffness * said(model, now, data)
        loss += 0.5 * pull * float((now.probe.astype(np.float64) ** 2).sum())
        found.probe[:] += np.float32(pull) * now.probe
    return loss, found


def product(model: Model, now: Unknowns, data: Data, free: Freedom, by: Unknowns) -> Unknowns:
    """Return transpose(J) W J times a change, with the pull on the probes."""
    shared = transforms(by.probe[0], model.shape) if free.probes and len(by.probe) == 1 else None

    def work(view: View) -> Told:
        probe = shared
        if free.probes and shared is None:
            probe = transforms(by.probe[view.index], model.shape)
        return view.gather(data.weighed(view.index, view.change(by, probe)), free.probes)

    total = Total(model, now, free.probes)
    for index, told in each(model, now, data, work, data.used):
        total.add(index, told)
    made = total.finished()
    if free.probes:
        made.probe[:] += np.float32(free.stiffness * said(model, now, data)) * by.probe
    return made


def misfit(model: Model, now: Unknowns, data: Data) -> tuple[F64, F64]:
    """Return the mean square of computed minus measured, and sum |computed - measured| / sum |measured|, by image.

    NaN for images that are not fitted, and where nothing was measured.
    """

    def work(view: View) -> tuple[float, float]:
        residual, image = view.image() - data.image[view.index], data.image[view.index]
        seen = np.ones_like(image) if data.seen is None else data.seen[view.index]
        count, total = float(seen.sum()), float((np.abs(image) * seen).sum(dtype=np.float64))
        square = float((residual * residual * seen).sum(dtype=np.float64)) / count if count else np.nan
        return square, float((np.abs(residual) * seen).sum(dtype=np.float64)) / total if total else np.nan

    made = np.full((2, len(data.image)), np.nan)
    for index, found in each(model, now, data, work, data.used):
        made[:, index] = found
    return made[0], made[1]


def project(model: Model, data: Data, by: Unknowns, free: Freedom, room: F32) -> Unknowns:
    """Return the part of a change that is allowed: of free unknowns, equal within a sort where tied.

    What no image can tell is taken out: a translation and a turn of all atoms together with all shifts and turns, a
    factor of all heights together with all factors. Probes, in units of their `room`, keep their sums and their
    centroids, which heights and shifts have already.
    """
    height = _tied(by.height, data.kind) if free.tied_heights else by.height
    width = _tied(by.width, data.kind) if free.tied_widths else by.width
    return Unknowns(
        by.position if free.positions else np.zeros_like(by.position),
        height if free.heights else np.zeros_like(height),
        width if free.widths else np.zeros_like(width),
        _told_apart(model, data, by.tilt * free.tilt, free),
        without_moments(by.probe, room) if free.probes else np.zeros_like(by.probe),
    )


def _told_apart(model: Model, data: Data, tilt: F64, free: Freedom) -> F64:
    """Take what atoms can do as well off the changes of the images that are fitted."""
    made, used = tilt.copy(), data.used
    if free.positions and free.tilt[SHIFT_X]:
        made[used, :TURN_X] -= _common(model.turn[used, :, :2], made[used, :TURN_X])
    if free.positions and free.tilt[TURN_X]:
        made[used, TURN_X:SCALE] -= _common(model.turn[used], made[used, TURN_X:SCALE])
    if free.heights and free.tilt[SCALE]:
        made[used, SCALE] -= made[used, SCALE].mean()
    return made


def _common(turn: F64, vectors: F64) -> F64:
    """Return what one vector of the specimen, seen by all cameras, explains of their vectors, by least squares."""
    rows = turn.transpose(0, 2, 1).reshape(-1, 3)
    by = np.linalg.lstsq(rows, vectors.ravel(), rcond=1e-6)[0]
    common: F64 = (rows @ by).reshape(vectors.shape)
    return common


def _tied(values: F64, kind: I64) -> F64:
    counts = np.bincount(kind)
    mean: F64 = (np.bincount(kind, weights=values) / np.maximum(counts, 1))[kind]
    return mean


def without_moments(probe: F32, room: F32) -> F32:
    """Take from windows, shape (..., edge, edge), as much room * (a + b x + c y) that room * probe has no moments.

    Neither a sum nor a first moment is left, so that the sum and the centroid of what is changed stay.
    """
    edge = probe.shape[-1]
    axis = (np.arange(edge) - edge // 2) / max(edge // 2, 1)
    plane = np.stack(
        [np.ones((edge, edge)), np.broadcast_to(axis, (edge, edge)), np.broadcast_to(axis[:, None], (edge, edge))]
    )
    basis = room[..., None, :, :].astype(np.float64) * plane
    gram = np.einsum("...ayx,...byx->...ab", basis, basis)
    part = np.linalg.solve(gram, np.einsum("...ayx,...yx->...a", basis, probe)[..., None])[..., 0]
    return (probe - np.einsum("...a,...ayx->...yx", part, basis)).astype(np.float32)


def said(model: Model, now: Unknowns, data: Data) -> float:
    """Return how much images say about a pixel of a probe: squares of lone atoms, the mean over the slices."""
    width = np.maximum(now.width * model.per_angstrom, 0.3)
    alone = (now.height * model.per_angstrom**2) ** 2 / (4 * np.pi * width**2)
    count = int(data.used.sum()) if len(now.probe) == 1 else 1
    return float(alone.sum()) * count / (model.slices * model.finer**2)
