"""Fit of local orbitals to images: damped Gauss-Newton steps, each by preconditioned conjugate gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.fft import fftfreq, irfft2, rfft2, rfftfreq

from aetx.kernels.orbitals import (
    C64,
    SCALE,
    SHIFT_X,
    TURN_X,
    Model,
    Told,
    Unknowns,
    View,
    embedded,
    half_of,
    nominal_windows,
    transforms,
    window_of,
)
from aetx.kernels.refinement import turns

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
Flags = NDArray[np.bool_]
T = TypeVar("T")

DAMPING, LEAST_DAMPING, MOST_DAMPING = 1e-3, 1e-9, 1e6
"""Of the first step, and its limits, in units of the metric."""
FAINT = 1e-4
"""Part of a probe's maximum that is added where it is asked how freely a pixel may change."""
TURNS = 4
"""How often the pixels of a probe are lifted to zero and its moments mended in turn."""
ENOUGH = 1e-3
"""Part of the squared residual of a step's equations that may be left."""


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


@dataclass(frozen=True)
class Progress:
    """The loss before and after each step, and the root mean square of the moves of each, angstrom."""

    loss: list[float]
    moved: list[float]


def fit(
    model: Model, start: Unknowns, data: Data, free: Freedom, steps: int, inner: int, tolerance: float
) -> tuple[Model, Unknowns, Progress]:
    """Lower half the sum over pixels of weight * (computed - measured)**2.

    Parameters
    ----------
    model, start
        How images are made, and where to begin.
    data, free
        What is fitted, and what may change.
    steps
        Most steps.
    inner
        Most products with the matrix in a step.
    tolerance
        Root mean square of the moves of the atoms below which the fit has ended, angstrom.

    Returns
    -------
    The model with refined rotations, the unknowns, and how it went.
    """
    now, damping = start, DAMPING
    metric = Metric(model, now, data, free)
    loss, gradient = slope(model, now, data, free)
    progress = Progress([loss], [])
    for _ in range(steps):
        while True:
            step = solve(model, now, data, free, metric, gradient, damping, inner)
            tried_model, tried = moved(model, now, step, free)
            tried_loss, tried_gradient = slope(tried_model, tried, data, free)
            if tried_loss <= loss or damping > MOST_DAMPING:
                break
            damping *= 10.0
        if tried_loss > loss:
            break
        model, now, loss, gradient = tried_model, tried, tried_loss, tried_gradient
        far = float(np.sqrt((step.position**2).sum(1).mean())) if len(step.position) else 0.0
        progress.loss.append(loss)
        progress.moved.append(far)
        damping = max(damping * 0.1, LEAST_DAMPING)
        if free.positions and far < tolerance:
            break
    return model, now, progress


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


def room_of(model: Model, now: Unknowns) -> F32:
    """Return roots of the present probes over their maxima, shape of `now.probe`: how freely a pixel may change.

    A probe that changes by room times a step of even size stays above zero: its faint pixels move little.
    """
    present = np.maximum(nominal_windows(model, now.probe.shape[-1]) + now.probe, 0.0)
    top = np.maximum(present.max(axis=(-2, -1), keepdims=True), np.finfo(np.float32).tiny)
    return np.sqrt(present / top + FAINT).astype(np.float32)


class Metric:
    """An approximate inverse of the matrix of a fit.

    Its blocks are those of a lone atom, of each image's own unknowns, and of each frequency of a probe.
    """

    def __init__(self, model: Model, now: Unknowns, data: Data, free: Freedom) -> None:
        """Take the blocks at the present values."""
        self.model = model
        place, height, width, depth = lone(model, now)
        turn = model.turn[data.used]
        block = place * np.einsum("tax,tbx->ab", turn[:, :, :2], turn[:, :, :2])
        block += depth * np.einsum("ta,tb->ab", turn[:, :, 2], turn[:, :, 2])
        self.position = np.linalg.inv(block + 1e-6 * np.trace(block) * np.eye(3))
        least = 1e-3 * float(np.abs(now.height).mean()) if len(now.height) else 1.0
        self.signal = 1.0 / np.maximum(np.abs(now.height), least) ** 2
        count = max(1, int(data.used.sum()))
        self.height, self.width = 1.0 / (count * height), 1.0 / (count * width)
        self.tilt = np.zeros((len(model.turn), 7, 7))
        chosen = np.flatnonzero(free.tilt)

        def work(view: View) -> tuple[F64, F32 | None]:
            columns = np.stack([view.change(_unit(now, view.index, a), None).ravel() for a in chosen])
            own = columns.astype(np.float64)
            return own @ own.T, _power(view) if free.probes else None

        power = np.zeros((model.slices, *half_of(model.shape)), np.float32) if free.probes else None
        for index, (gram, own) in each(model, now, data, work, data.used):
            gram += 1e-9 * np.trace(gram) * np.eye(chosen.size)
            self.tilt[index][np.ix_(chosen, chosen)] = np.linalg.inv(gram)
            if power is not None and own is not None:
                power += own
        self.frequency: F32 | None = None
        if power is not None:
            power /= model.finer**2 * (count if len(now.probe) > 1 else 1)
            pull = free.stiffness * said(model, now, data)
            self.frequency = (1.0 / (power + pull + 1e-6 * power.mean())).astype(np.float32)

    def inverse(self, by: Unknowns) -> Unknowns:
        """Apply it."""
        probe = by.probe
        if self.frequency is not None:
            probe = np.stack([self._probes(one, self.frequency) for one in probe])
        return Unknowns(
            by.position @ self.position * self.signal[:, None],
            by.height * self.height,
            by.width * self.width * self.signal,
            np.einsum("tab,tb->ta", self.tilt, by.tilt),
            probe,
        )

    def _probes(self, probe: F32, frequency: F32) -> F32:
        shape, edge = self.model.shape, probe.shape[-1]
        pairs = zip(probe, frequency, strict=True)
        return np.stack([window_of(irfft2(rfft2(embedded(one, shape)) * by, shape), edge) for one, by in pairs])


def _power(view: View) -> F32:
    made = np.zeros((view.model.slices, *half_of(view.model.shape)), np.float32)
    for number, group in enumerate(view.groups):
        spectrum = view.spectrum(number)
        made[group.slice] += spectrum.real**2 + spectrum.imag**2
    return made


def _unit(like: Unknowns, index: int, number: np.integer) -> Unknowns:
    made = like.filled(np.zeros(like.vector().size))
    made.tilt[index, number] = 1.0
    return made


def lone(model: Model, now: Unknowns) -> tuple[float, float, float, float]:
    """Return what one image says about a lone atom of mean width: squared derivatives, summed over the pixels.

    Returns
    -------
    By the place in the image over height squared, by the height, by the width and by the depth over height squared.
    """
    shape, step = model.shape, 1.0 / model.per_angstrom
    qy, qx = fftfreq(shape[0], step)[:, None], rfftfreq(shape[1], step)[None]
    square = qy * qy + qx * qx
    width = float(now.width.mean()) if len(now.width) else 1.0
    both = np.full(qx.size, 2.0)
    both[0] = 1.0
    weight = both * np.exp(-((2 * np.pi * width) ** 2) * square) / (shape[0] * shape[1] * model.finer**2)
    weight = weight * model.per_angstrom**4
    if model.form is not None:
        weight = weight * (model.form**2).mean(0)
    seen, deep = weight, 0.0
    if model.nominal is not None:
        seen = weight * (np.abs(model.nominal) ** 2).mean(0)
        steps = np.diff(model.nominal, axis=0) / model.thickness
        deep = float((weight * (np.abs(steps) ** 2).mean(0)).sum()) if len(steps) else 0.0
    place = float((seen * 2 * np.pi**2 * square).sum())
    wide = float((seen * (4 * np.pi**2 * width * square) ** 2).sum())
    return place, float(seen.sum()), wide, deep


def said(model: Model, now: Unknowns, data: Data) -> float:
    """Return how much images say about a pixel of a probe: squares of lone atoms, the mean over the slices."""
    width = np.maximum(now.width * model.per_angstrom, 0.3)
    alone = (now.height * model.per_angstrom**2) ** 2 / (4 * np.pi * width**2)
    count = int(data.used.sum()) if len(now.probe) == 1 else 1
    return float(alone.sum()) * count / (model.slices * model.finer**2)


def solve(
    model: Model,
    now: Unknowns,
    data: Data,
    free: Freedom,
    metric: Metric,
    gradient: Unknowns,
    damping: float,
    most: int,
) -> Unknowns:
    """Return the step d of (transpose(J) W J + damping * M) d = -gradient, by conjugate gradients."""
    room = room_of(model, now) if free.probes else now.probe

    def allowed(by: Unknowns) -> F64:
        return project(model, data, by, free, room).vector()

    def wide(by: Unknowns) -> Unknowns:
        return replace(by, probe=by.probe * room) if free.probes else by

    def inverse(row: F64) -> F64:
        return allowed(metric.inverse(now.filled(row))) / (1.0 + damping)

    left = -allowed(wide(gradient))
    step = np.zeros_like(left)
    along = inverse(left)
    first = size = float(left @ along)
    way = left  # the metric times `along`, but for 1 + damping
    for _ in range(most):
        if size <= ENOUGH * first or size <= 0:
            break
        made = allowed(wide(product(model, now, data, free, wide(now.filled(along)))))
        made = made + damping / (1.0 + damping) * way
        length = size / float(along @ made)
        step = step + length * along
        left = left - length * made
        back = inverse(left)
        before, size = size, float(left @ back)
        along = back + size / before * along
        way = left + size / before * way
    return wide(now.filled(step))


def moved(model: Model, now: Unknowns, step: Unknowns, free: Freedom) -> tuple[Model, Unknowns]:
    """Return model and unknowns after a step: heights, widths and the pixels of probes do not fall below zero."""
    tilt = now.tilt + step.tilt
    turn = model.turn @ turns(tilt[:, TURN_X:SCALE])
    tilt[:, TURN_X:SCALE] = 0.0
    height = np.maximum(now.height + step.height, 0.0)
    width = np.clip(now.width + step.width, 0.5 * now.width, 2.0 * now.width)
    probe = _positive(model, now, step.probe) if free.probes else now.probe
    return replace(model, turn=turn), Unknowns(now.position + step.position, height, width, tilt, probe)


def _positive(model: Model, now: Unknowns, step: F32) -> F32:
    """Return changes of probes after a step of which no pixel falls below zero, and sum and centroid stay nearly."""
    nominal, room = nominal_windows(model, step.shape[-1]), room_of(model, now)
    made: F32 = now.probe + step
    for _ in range(TURNS):
        made = room * without_moments((np.maximum(made, -nominal) / room).astype(np.float32), room)
    return np.maximum(made, -nominal)
