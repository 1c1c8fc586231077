"""Fit of local orbitals to images: damped Gauss-Newton steps, each by preconditioned conjugate gradients."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.fft import fftfreq, irfft2, rfft2, rfftfreq

from aetx.kernels.orbital_system import Data, Freedom, each, product, project, said, slope, without_moments
from aetx.kernels.orbitals import (
    SCALE,
    TURN_X,
    Model,
    Unknowns,
    View,
    embedded,
    half_of,
    nominal_windows,
    window_of,
)
from aetx.kernels.refinement import turns

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

DAMPING, LEAST_DAMPING, MOST_DAMPING = 1e-3, 1e-9, 1e6
"""Of the first step, and its limits, in units of the metric."""
FAINT = 1e-4
"""Part of a probe's maximum that is added where it is asked how freely a pixel may change."""
TURNS = 4
"""How often the pixels of a probe are lifted to zero and its moments mended in turn."""
ENOUGH = 1e-3
"""Part of the squared residual of a step's equations that may be left."""


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
