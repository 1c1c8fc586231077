"""Close-packed layers of a crystal: which atoms are in which, the hexagonal lattice of each, how they are stacked."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aetx.kernels.grains import Grain, Search, find
from aetx.kernels.unit_cell import named

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

ROUNDS = 3
"""Times that the height of a layer and its atoms follow each other."""
CERTAIN = 0.5
"""Mean cosine of the phase of a layer above the next, from which the step between them is told."""
NONE = -1
"""Number, letter or step that is not known."""
FCC, HCP = 1, 2


def split(height: F64, spacing: float, tolerance: float) -> tuple[I64, F64]:
    """Tell which layer each atom is in, from its height.

    From the fullest layer on, the next one is sought about a spacing further than the mean height of the one before, so
    that layers may bend and grow wider or closer.

    Parameters
    ----------
    height
        Along the normal, shape (atoms,), angstrom.
    spacing
        Of layers, angstrom.
    tolerance
        Farthest of an atom from the height of its layer, over the spacing, at most 0.5.

    Returns
    -------
    The layer of each atom from 0 upwards, -1 where there is none; the mean height of each layer, NaN for an empty one.
    """
    if not height.size:
        return np.empty(0, np.int64), np.empty(0)
    phase = np.angle(np.exp(2j * math.pi * height / spacing).mean()) / (2 * math.pi) * spacing
    first = np.round((height - phase) / spacing).astype(np.int64)
    fullest = int(np.bincount(first - first.min()).argmax()) + int(first.min())
    number = np.full(height.size, NONE, np.int64)
    start = _settled(height, number, phase + fullest * spacing, spacing, tolerance)
    found = {0: start}
    for way in (1, -1):
        last, k = start[0], way
        end = height.max() if way > 0 else -height.min()
        while way * last + (1 - tolerance) * spacing <= end:
            mean, member = _settled(height, number, last + way * spacing, spacing, tolerance)
            if member.size:
                found[k] = mean, member
            last, k = mean if member.size else last + way * spacing, k + way
    low, high = min(found), max(found)
    centre = np.full(high - low + 1, np.nan)
    for k, (mean, member) in sorted(found.items()):
        number[member], centre[k - low] = k - low, mean
    return number, centre


def _settled(height: F64, number: I64, guess: float, spacing: float, tolerance: float) -> tuple[float, I64]:
    """Return the mean height of the atoms near a guess, and these atoms."""
    member = np.empty(0, np.int64)
    for _ in range(ROUNDS):
        member = np.flatnonzero((np.abs(height - guess) <= tolerance * spacing) & (number == NONE))
        if member.size:
            guess = float(np.median(height[member]))
    return float(height[member].mean()) if member.size else guess, member


@dataclass(frozen=True)
class Layer:
    """The hexagonal lattice of a layer, None where too few atoms have six neighbours, and the atoms that are on it."""

    grain: Grain | None
    member: I64

    @property
    def angle(self) -> float:
        """How far the first vector is turned from the first axis of the plane, radian, from -pi/6 to pi/6."""
        if self.grain is None:
            return math.nan
        turn = math.atan2(self.grain.fit.rotation[1, 0], self.grain.fit.rotation[0, 0])
        return turn - math.pi / 3 * round(turn / (math.pi / 3))

    @property
    def angle_error(self) -> float:
        """Standard error of the angle, radian."""
        return math.nan if self.grain is None else math.sqrt(float(self.grain.fit.turn_covariance[0, 0]))


def fitted(flat: F64, covariance: F64 | None, member: I64, distance: float, tolerance: float, least: int) -> Layer:
    """Fit a hexagonal lattice to the atoms of a layer.

    Parameters
    ----------
    flat
        Positions of all atoms in the axes of the layers, shape (atoms, 3); their heights do not matter.
    covariance
        In these axes, shape (atoms, 3, 3), None where not known.
    member
        Atoms of the layer.
    distance
        Of neighbours, angstrom.
    tolerance
        Farthest of an atom from the end of a bond, angstrom.
    least
        Fewest atoms with six neighbours.
    """
    place = np.ascontiguousarray(flat[member] * [1.0, 1.0, 0.0])
    known = None if covariance is None else covariance[member]
    free = np.full(1, NONE, np.int64), np.full(member.size, NONE, np.int64)
    search = Search(distance, tolerance, math.radians(15), least, False, True)
    found = find(place, known, named("hex2d", 1.0), *free, search)
    return Layer(found[0], member[found[0].member]) if found else Layer(None, np.empty(0, np.int64))


def relative(first: Layer, second: Layer) -> tuple[float, float]:
    """Return the angle by which the second of two lattices is turned against the first, radian, with its error."""
    turn = second.angle - first.angle
    if math.isnan(turn):
        return math.nan, math.nan
    return turn - math.pi / 3 * round(turn / (math.pi / 3)), math.hypot(first.angle_error, second.angle_error)


def steps(flat: F64, layers: list[Layer], members: list[I64]) -> tuple[I64, F64]:
    """Tell to which hollows of each layer the next one goes: +1 from A to B, B to C, C to A, -1 the other way.

    Atoms of one layer are seen in the lattice of the other one, whichever is the greater; the hollows at (2/3, 1/3) and
    at (1/3, 2/3) of the cell differ in the phase of the first coordinate minus the second.

    Parameters
    ----------
    flat
        Positions in the axes of the layers, shape (atoms, 3).
    layers
        With their lattices.
    members
        All atoms of each layer.

    Returns
    -------
    The step from each layer to the next, 0 where it is not known; the share of atoms that agree with it, NaN there.
    Both of shape (layers - 1,).
    """
    count = max(len(layers) - 1, 0)
    step, share = np.zeros(count, np.int64), np.full(count, np.nan)
    bases = _aligned(layers)
    for k in range(count):
        of = max((k, k + 1), key=lambda one: (layers[one].member.size, -one))
        other = 2 * k + 1 - of
        found, basis = layers[of].grain, bases[of]
        if found is None or basis is None or not members[other].size:
            continue
        fraction = (flat[members[other], :2] - found.fit.origin) @ np.linalg.inv(basis)
        phase = np.exp(2j * math.pi * (fraction[:, 0] - fraction[:, 1])) ** (1 if of == k else -1)
        mean = complex(phase.mean())
        sign = 1 if mean.imag > 0 else -1
        wanted = np.exp(2j * math.pi / 3 * sign)
        if (mean * wanted.conjugate()).real > CERTAIN:
            step[k] = sign
            share[k] = float(((phase * wanted.conjugate()).real > 0.5).mean())
    return step, share


def _aligned(layers: list[Layer]) -> list[F64 | None]:
    """Return cell vectors that point the same way in all layers; turned by 60 degrees a lattice is the same."""
    made: list[F64 | None] = []
    last: F64 | None = None
    for one in layers:
        if one.grain is None:
            made.append(None)
            continue
        basis = one.grain.basis
        if last is not None:
            across = float(last[0, 0] * basis[0, 1] - last[0, 1] * basis[0, 0])
            angle = math.atan2(across, float(last[0] @ basis[0]))
            basis = basis @ _plane_turn(-math.pi / 3 * round(angle / (math.pi / 3))).T
        last = basis
        made.append(basis)
    return made


def _plane_turn(angle: float) -> F64:
    return np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])


def letters(step: I64, known: int) -> I64:
    """Return the letter of each layer, 0, 1, 2 for A, B, C, -1 where no chain of steps leads to it.

    Parameters
    ----------
    step
        From each layer to the next, 0 where not known.
    known
        Layer that is called A.
    """
    letter = np.full(len(step) + 1, NONE, np.int64)
    letter[known] = 0
    for k in range(known, len(step)):
        if step[k] == 0:
            break
        letter[k + 1] = (letter[k] + step[k]) % 3
    for k in range(known - 1, -1, -1):
        if step[k] == 0:
            break
        letter[k] = (letter[k + 1] - step[k]) % 3
    return letter


def stacking(step: I64) -> I64:
    """Return how each layer lies between its neighbours: 1 as in fcc, 2 as in hcp, -1 where that is not known."""
    made = np.full(len(step) + 1, NONE, np.int64)
    below, above = step[:-1], step[1:]
    both = (below != 0) & (above != 0)
    made[1:-1][both] = np.where(below == above, FCC, HCP)[both]
    return made
