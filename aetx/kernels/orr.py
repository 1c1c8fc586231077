"""Activity for the oxygen reduction reaction from binding energies of OH, with errors through the volcano."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]


@dataclass(frozen=True)
class Volcano:
    """ln(j / j_Pt111) = min(E, offset - slope E) / kT for the binding energy E of OH relative to Pt(111), in eV.

    E rises where OH is bound more weakly. `energy` is kT.
    """

    energy: float
    offset: float
    slope: float

    @property
    def peak(self) -> float:
        """The binding energy of the greatest activity, eV."""
        return self.offset / (1 + self.slope)

    def activity(self, binding: F64) -> F64:
        """Return ln(j / j_Pt111) for binding energies in eV."""
        return np.asarray(np.minimum(binding, self.offset - self.slope * binding) / self.energy)

    def error(self, binding: F64, error: F64) -> F64:
        """Return the standard error of the activity: the root mean square distance from that of the given energy.

        The energy is taken as normally distributed about the given one. Away from the peak this is the slope times the
        error. Across the peak both slopes count, each with the share of the distribution that it has; as the peak
        is a kink, no expansion about it would do.

        Parameters
        ----------
        binding, error
            eV.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            kink = np.where(error > 0, (self.peak - binding) / error, np.where(binding < self.peak, np.inf, -np.inf))
        kink = np.where(np.isfinite(binding) & np.isfinite(error), kink, np.nan)
        here = self.activity(binding) * self.energy
        rising = _square(np.ones_like(binding), binding - here, error, kink, below=True)
        falling = _square(
            np.full_like(binding, -self.slope), self.offset - self.slope * binding - here, error, kink, below=False
        )
        return np.asarray(np.sqrt(np.maximum(rising + falling, 0.0)) / self.energy)


def _square(slope: F64, start: F64, error: F64, kink: F64, *, below: bool) -> F64:
    """Return the mean of (start + slope * error * t)**2 over the part of a unit normal t below or above a kink."""
    bounded = np.clip(kink, -40.0, 40.0)
    density = np.exp(-0.5 * bounded**2) / math.sqrt(2 * math.pi)
    sign = 1.0 if below else -1.0
    share = ndtr(sign * bounded)
    first, second = -sign * density, share - sign * bounded * density
    step = slope * error
    return np.asarray(start**2 * share + 2 * start * step * first + step**2 * second)


def bond_strain(
    position: F64, covariance: F64, first: I64, second: I64, counted: NDArray[np.bool_], length: float
) -> tuple[F64, F64]:
    """Return the mean length of the bonds of each atom over a reference, minus one, and its standard error.

    Parameters
    ----------
    position, covariance
        Of the atoms, which are independent of each other, shape (atoms, 3) and (atoms, 3, 3).
    first, second
        Atoms at either end; a bond stands in the list of both, shape (bonds,).
    counted
        Bonds that count, shape (bonds,).
    length
        The reference.
    """
    atoms = len(position)
    first, second = first[counted], second[counted]
    vector = position[second] - position[first]
    distance = np.linalg.norm(vector, axis=1)
    vector /= distance[:, None]
    count = np.bincount(first, minlength=atoms)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.bincount(first, distance, atoms) / count
        own = np.stack([np.bincount(first, vector[:, k], atoms) for k in range(3)], axis=1) / count[:, None]
        others = np.bincount(first, np.einsum("ni,nij,nj->n", vector, covariance[second], vector), atoms) / count**2
    variance = others + np.einsum("ni,nij,nj->n", own, covariance, own)
    mean = np.where(count > 0, mean, np.nan)
    return mean / length - 1, np.sqrt(np.where(count > 0, variance, np.nan)) / length
