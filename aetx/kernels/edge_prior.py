"""A prior that smooths noise and keeps peaks: one step of a preconditioned descent with it, for numba and for torch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray

F32 = NDArray[np.float32]


@dataclass(frozen=True)
class EdgePrior:
    """weight * sum over pairs of neighbours of d^2 / (|d| + transition), d their difference in density.

    This is the q-generalised Gaussian Markov random field with exponents p = 1 and q = 2 on the six nearest
    neighbours: quadratic below `transition`, and weight * |d| well above it, so that peaks cost what their height is.
    """

    weight: float
    transition: float


def step(
    ahead: torch.Tensor,
    volume: torch.Tensor,
    gradient: torch.Tensor,
    curvature: torch.Tensor,
    prior: EdgePrior,
    momentum: float,
    positive: bool,
    out: torch.Tensor,
) -> float:
    """Take one step of a descent with momentum, and return by how much it turned back.

    Parameters
    ----------
    ahead
        Where the gradient was taken, shape (z, x, y).
    volume
        The last volume; becomes ahead - (gradient + that of the prior) / (curvature + that of the prior), not below
        zero where it is to be `positive`. The curvature of the prior is that of the parabolas above it that touch it
        at the present differences.
    gradient, curvature
        Of the misfit, the latter the diagonal of a matrix that bounds its second derivatives.
    out
        Becomes the new volume + momentum * (new volume - last volume).

    Returns
    -------
    Sum of (ahead - new volume) * (new volume - last volume); above zero, momentum points uphill.
    """
    if volume.device.type == "cpu":
        weight, transition = np.float32(prior.weight), np.float32(prior.transition)
        floor, pace = np.float32(0.0 if positive else -np.inf), np.float32(momentum)
        arrays = (one.numpy() for one in (ahead, volume, gradient, curvature, out))
        return float(_step(*arrays, weight, transition, pace, floor))
    return step_on_device(ahead, volume, gradient, curvature, prior, momentum, positive, out)


def step_on_device(
    ahead: torch.Tensor,
    volume: torch.Tensor,
    gradient: torch.Tensor,
    curvature: torch.Tensor,
    prior: EdgePrior,
    momentum: float,
    positive: bool,
    out: torch.Tensor,
) -> float:
    """Do what `step` does, in torch."""
    pull, bend = torch.zeros_like(ahead), torch.zeros_like(ahead)
    for axis in range(3):
        size = ahead.shape[axis]
        difference = ahead.narrow(axis, 1, size - 1) - ahead.narrow(axis, 0, size - 1)
        reach = difference.abs().add_(prior.transition)
        share = (reach + prior.transition).div_(reach).div_(reach)
        difference.mul_(share)
        pull.narrow(axis, 1, size - 1).add_(difference)
        pull.narrow(axis, 0, size - 1).sub_(difference)
        for first in (0, 1):
            bend.narrow(axis, first, size - 1).add_(share)
    change = pull.mul_(prior.weight).add_(gradient).div_(bend.mul_(2 * prior.weight).add_(curvature))
    new = torch.sub(ahead, change)
    if positive:
        new.clamp_(min=0.0)
    moved = new - volume
    turned = float(((ahead - new) * moved).sum(dtype=torch.float64))
    volume.copy_(new)
    out.copy_(new.add_(moved, alpha=momentum))
    return turned


@njit(nogil=True, cache=True, fastmath=True, error_model="numpy")
def _pull(here: F32, there: F32, transition: np.float32, pull: F32, bend: F32) -> None:
    """Add the slopes of the prior towards one neighbour, and their ratio to the differences."""
    for k in range(here.size):
        difference = here[k] - there[k]
        reach = abs(difference) + transition
        share = (reach + transition) / (reach * reach)
        pull[k] += share * difference
        bend[k] += share


@njit(nogil=True, cache=True, fastmath={"nsz", "arcp", "contract", "afn", "reassoc"}, error_model="numpy")
def _step(
    ahead: F32,
    volume: F32,
    gradient: F32,
    curvature: F32,
    out: F32,
    weight: np.float32,
    transition: np.float32,
    momentum: np.float32,
    floor: np.float32,
) -> float:
    planes, rows, size = ahead.shape
    pull, bend = np.empty(size, np.float32), np.empty(size, np.float32)
    twice, turned = np.float32(2) * weight, 0.0
    for z in range(planes):
        for x in range(rows):
            here = ahead[z, x]
            pull[:] = np.float32(0)
            bend[:] = np.float32(0)
            if z > 0:
                _pull(here, ahead[z - 1, x], transition, pull, bend)
            if z < planes - 1:
                _pull(here, ahead[z + 1, x], transition, pull, bend)
            if x > 0:
                _pull(here, ahead[z, x - 1], transition, pull, bend)
            if x < rows - 1:
                _pull(here, ahead[z, x + 1], transition, pull, bend)
            _pull(here[1:], here[:-1], transition, pull[1:], bend[1:])
            _pull(here[:-1], here[1:], transition, pull[:-1], bend[:-1])
            slope, bound, old, ahead_new = gradient[z, x], curvature[z, x], volume[z, x], out[z, x]
            for k in range(size):
                pull[k] = max(here[k] - (slope[k] + weight * pull[k]) / (bound[k] + twice * bend[k]), floor)
            total = np.float32(0)
            for k in range(size):
                new = pull[k]
                moved = new - old[k]
                total += (here[k] - new) * moved
                ahead_new[k] = new + momentum * moved
                old[k] = new
            turned += float(total)
    return turned
