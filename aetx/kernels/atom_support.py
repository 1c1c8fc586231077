"""How strongly images ask for each of some atoms, measured against places where there is none."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.special import expit

from aetx.kernels.alignment import fitted as aligned
from aetx.kernels.freedom import brightened
from aetx.kernels.held_out import estimated
from aetx.kernels.refinement import (
    F32,
    F64,
    Fitted,
    Linear,
    Noise,
    Plan,
    Prior,
    Scene,
    State,
    conjugate_gradients,
    fit,
    medians,
)
from aetx.kernels.site_growth import WHOLE
from aetx.kernels.site_search import HEIGHTS, STIFF
from aetx.kernels.sites import Evidence, at, evidence

I64 = NDArray[np.int64]
Mask = NDArray[np.bool_]

ROUGH = Plan(rounds=3, inner=10, tolerance=0.05)
"""How far atoms and poses are fitted, once with all atoms and once without those that stand low."""
LOW = 0.6
"""Height, over the usual one, below which an atom is left out while the others are fitted, so that it moves none."""
OTHER = 0.01
"""Share of atoms whose height may be any between none and the usual one."""
ROUNDS, SETTLED = 4, 0.01
"""Most times that low atoms are left out anew, and the part of the atoms that may still change."""
HALF = 0.5
"""Height that is nearer to an atom than to none."""
TOP = 0.98
"""Quantile of the heights that belongs to an atom, however many are none."""
TRIALS = 60
"""Random places for each atom among which empty ones are looked for."""
LEAST_TRIALS = 20_000
"""Fewest random places."""
NEAR, FAR = 0.65, 1.15
"""Least and greatest distance of an empty place from the nearest atom, over the usual distance of neighbours."""
APART = 2.0
"""Least distance of two empty places that are asked, over the same."""
FEW, MANY, SHARE = 60, 300, 0.1
"""Least and greatest number of empty places that are asked, and their number over that of the atoms between."""
SPAN = (-1.0, -0.5, 0.0, 0.5, 1.0)
"""Steps along each axis, over the reach, in which the best place of a site is looked for."""
SOLVE, CLOSE = 25, 0.03
"""Most steps of conjugate gradients for the heights, and the residual, relative to the start, at which they end."""
SAMPLES = 3
"""Random errors of the heights that are drawn."""
FEWEST = 10
"""Fewest empty places that say how wide standard errors are."""
TAIL, TAIL_OF_NORMAL = 0.9, 1.645
"""Quantile of the empty places by which errors are widened, and the same of a normal variable of variance 1: it looks
at the tails, and yet past a few places that hold an atom which was missed."""
NORMAL = 1.4826
"""Standard deviation of a normal variable over its median absolute deviation."""


@dataclass(frozen=True)
class Support:
    """What images say about N atoms in T images, beside M places where there is none. Heights are over the usual one.

    `sigma` and `unsure` are as wide as the heights of empty places spread.
    """

    height: F64
    """Height of each atom, those of all others fitted with it, shape (N,); NaN where too few images show it."""
    sigma: F64
    """Its standard error, shape (N,)."""
    middle: F64
    """Median over the images of the height that each alone would give it, the others as they are, shape (N,)."""
    tilts: F64
    """Share of the images that alone are nearer to an atom than to none, of those that show it, shape (N,)."""
    astray: F64
    """How far the images have it from where it was found, angstrom, shape (N,)."""
    place: F64
    """Empty places, angstrom, shape (M, 3), in the frame in which the atoms were found."""
    empty: F64
    """What the images hold there, shape (M,)."""
    unsure: F64
    """Its standard error, shape (M,)."""
    resolved: float
    """How far the usual atom of the sort that shows best stands above an empty place, in standard errors; less what the
    freedom of the fit makes of noise."""


def asked(scene: Scene, begin: State, noise: Noise, settled: bool, prior: Prior, reach: float, seed: int) -> Support:
    """Return how high each atom stands when the heights of all, and of some empty places, are fitted at once.

    Poses are fitted first, with one height and one width for each sort and atoms that stay, so that none makes room for
    one that is not there; then places too, without the atoms that stand low. What was left out is put back where it was
    found, and empty places are chosen in and about the atoms; each of them is then moved, within reach, to where the
    images ask for an atom most.

    Parameters
    ----------
    scene, begin
        Images, and atoms and poses as they were found.
    noise
        As known before the fit.
    settled
        Whether that stays; else it is taken from what the fit leaves over.
    prior
        Of the poses.
    reach
        How far from where it was found an atom is looked for, angstrom.
    seed
        Of the empty places and of the random errors.
    """
    count = len(begin.position)
    state = brightened(scene, begin, STIFF, noise, prior)
    fitted = fit(scene, state, replace(STIFF, positions=False), noise, ROUGH, prior, begin)
    noise = noise if settled else estimated(scene, fitted.models, count, noise.least)
    low = _low(1.0 + _solved(scene, fitted.state, fitted.models, noise, 0, seed)[0])
    state = fitted.state
    for _ in range(ROUNDS):
        fitted = fit(scene, state.of_atoms(~low), STIFF, noise, ROUGH, prior, begin)
        noise = noise if settled else estimated(scene, fitted.models, 3 * int((~low).sum()), noise.least)
        sites = _sites(scene, begin, fitted, low, noise, reach, seed)
        change, sigma = _solved(scene, sites.state, fitted.models, noise, SAMPLES, seed)
        height = sites.start + change
        before, low = low, _low(height[:count])
        if (low & ~before).sum() <= SETTLED * count:
            break
        state = sites.state.of_atoms(slice(count))
    whole, empty = sites.state, height[count:]
    models = scene.models(replace(whole, height=whole.height * height))
    alone = _by_tilt(scene, whole, models, noise, height)
    seen = np.isfinite(alone).sum(axis=0)
    shown = np.where(scene.shown(whole) & (seen > 0), 1.0, np.nan)
    alone[:, seen == 0] = 0.0  # which `shown` takes out again
    sigma *= shown * widened(empty, sigma[count:])
    above = (1.0 - _middle(empty)) / sigma[:count]
    return Support(
        height[:count] * shown[:count],
        sigma[:count],
        (np.nanmedian(alone, axis=0) * shown)[:count],
        ((alone > HALF).sum(axis=0) / np.maximum(seen, 1) * shown)[:count],
        sites.astray,
        sites.place,
        empty,
        sigma[count:],
        _resolved(above, begin.sort, ~low, 3.0 + 6.0 * len(scene.images) / count),
    )


@dataclass(frozen=True)
class _Sites:
    """Atoms, and after them empty places, all of the usual height, as the images are asked about them."""

    state: State
    start: F64
    """What is known of their heights, over the usual one: 0 where an atom was left out, and where none is."""
    astray: F64
    place: F64


def _sites(scene: Scene, begin: State, fitted: Fitted, low: Mask, noise: Noise, reach: float, seed: int) -> _Sites:
    """Put back the atoms that were left out of a fit, and add empty places, each where the images ask for one most."""
    state = fitted.state
    found = aligned(begin.position[~low], state.position, "rigid")(begin.position)
    sort, wide = int(np.bincount(begin.sort).argmax()), float(np.median(state.width))
    told = evidence(scene, state, fitted.models, noise, sort, wide)
    place = found.copy()
    place[~low], place[low] = state.position, best_places(scene, state, told, found[low], reach)
    empty = empty_places(place, seed)
    empty = empty[scene.shown(replace(state, position=empty), WHOLE)]
    empty = best_places(scene, state, told, empty, reach)
    usual = _usual(state, begin.sort)
    start = np.zeros(len(place) + len(empty))
    start[: len(place)][~low] = state.height / usual[~low]
    whole = replace(
        state,
        position=np.concatenate([place, empty]),
        height=np.concatenate([usual, np.full(len(empty), usual[begin.sort == sort][0])]),
        width=np.full(len(start), wide),
        sort=np.concatenate([begin.sort, np.full(len(empty), sort, np.int64)]),
        number=np.arange(len(start)),
    )
    back = aligned(state.position, begin.position[~low], "rigid")
    return _Sites(whole, start, np.linalg.norm(place - found, axis=1), back(empty))


def supported(found: Support, odds: float, significance: float, reach: float) -> F64:
    """Return the probability that the images hold each atom, from its height and that of empty places, shape (N,).

    The height, the lower of that in all images and of the median over them, is a normal variable about that of the
    empty places where there is no atom, and about 1 where there is one, spread as much more as the heights of atoms
    are; few atoms may have any height between, such as those of an element that was not told apart. Where the usual
    atom is not told from an empty place by `significance` standard errors the images tell nothing, and no atom is
    supported; nor is one that the images have farther away than reach.

    Parameters
    ----------
    found
        Heights.
    odds
        Of an atom against none, before the images are seen.
    significance
        Standard errors.
    reach
        Angstrom.
    """
    made, known = np.full(len(found.height), np.nan), np.isfinite(found.height)
    if found.resolved < significance:
        return np.zeros(len(made))
    level, height = _middle(found.empty), np.minimum(found.height, found.middle)[known]
    own, upper = found.sigma[known] ** 2, found.height[known] > HALF
    spread = max((NORMAL * _deviation(found.height[known][upper])) ** 2 - _middle(own[upper]), 0.0)
    x, wide = np.clip(height, level, max(1.0, level)), own + spread
    none = -0.5 * ((x - level) ** 2 / own + np.log(2 * np.pi * own))
    usual = -0.5 * ((x - 1.0) ** 2 / wide + np.log(2 * np.pi * wide))
    made[known] = expit(np.log(odds) + np.logaddexp(np.log1p(-OTHER) + usual, math.log(OTHER)) - none)
    made[known & (found.astray > reach)] = 0.0
    return made


def widened(height: F64, sigma: F64) -> float:
    """Return by how much more the heights of empty places spread than their standard errors say, at least 1."""
    if len(height) < FEWEST:
        return 1.0
    z = height / sigma
    return max(1.0, float(np.quantile(np.abs(z - np.median(z)), TAIL)) / TAIL_OF_NORMAL)


def _deviation(values: F64) -> float:
    """Return the median absolute deviation."""
    return float(np.median(np.abs(values - np.median(values)))) if values.size else 0.0


def _resolved(significance: F64, sort: I64, real: Mask, fitted_for: float) -> float:
    """Return the greatest median over the atoms of a sort that do not stand low, less what freedom alone explains."""
    known = real & np.isfinite(significance)
    medians = [float(np.median(significance[known & (sort == one)])) for one in np.unique(sort[known])]
    return math.sqrt(max(max(medians, default=0.0) ** 2 - fitted_for, 0.0))


def _low(height: F64) -> Mask:
    """Tell which heights are far below the usual one, though most of the atoms may be none."""
    usual = float(np.median(height[height >= 0.5 * np.quantile(height, TOP)]))
    return height < LOW * usual


def _usual(state: State, sort: I64) -> F64:
    """Return the height of the sort of each atom, that of all where none of a sort is left."""
    usual = medians(state.height, state.sort, int(sort.max(initial=-1)) + 1)[sort]
    return np.where(np.isfinite(usual), usual, np.median(state.height))


def _middle(empty: F64) -> float:
    """Return what there is at an empty place."""
    return float(np.median(empty)) if empty.size else 0.0


def _solved(scene: Scene, state: State, models: F32, noise: Noise, samples: int, seed: int) -> tuple[F64, F64]:
    """Return by how much all heights change, over those of the state, so that images are explained best, with errors.

    `models` are the images as they are explained now. The errors are conditional on all others and, with samples, as
    much more as these owe to each other.
    """
    weight = np.stack([noise.weight(i, one, scene.trusted(i)) for i, one in enumerate(models)])
    linear = Linear(scene, state, HEIGHTS, weight)
    right = linear.back(lambda tilt: weight[tilt] * (scene.images[tilt] - models[tilt]))
    change, _ = conjugate_gradients(linear, right, SOLVE, CLOSE)
    own = linear.blocks[0][:, 0, 0]
    spread = np.zeros(len(own))
    for stream in np.random.default_rng(seed).spawn(samples):
        noises = np.sqrt(weight) * stream.standard_normal(weight.shape, np.float32)
        score = linear.back(noises.__getitem__)
        error, _ = conjugate_gradients(linear, score, SOLVE, CLOSE)
        spread += (error - own * score) ** 2 / samples
    return change, np.sqrt(own + spread)


def empty_places(atoms: F64, seed: int) -> F64:
    """Return places in and about some atoms that are as far as an atom from all of them, shape (places, 3)."""
    if len(atoms) < 2:
        return np.zeros((0, 3))
    generator, near = np.random.default_rng(seed), cKDTree(atoms)
    bond = float(np.median(np.asarray(near.query(atoms, 2)[0])[:, 1]))
    low, high = atoms.min(0) - FAR * bond, atoms.max(0) + FAR * bond
    trial = generator.uniform(low, high, (max(TRIALS * len(atoms), LEAST_TRIALS), 3))
    away = np.asarray(near.query(trial, distance_upper_bound=FAR * bond)[0])
    trial = trial[(away > NEAR * bond) & (away < FAR * bond)]
    wanted = int(np.clip(SHARE * len(atoms), FEW, MANY))
    kept: list[F64] = []
    for one in trial:
        if len(kept) == wanted:
            break
        if all(((one - other) ** 2).sum() > (APART * bond) ** 2 for other in kept):
            kept.append(one)
    return np.reshape(kept, (-1, 3))


def best_places(scene: Scene, state: State, told: Evidence, place: F64, reach: float) -> F64:
    """Return where within reach of each place the images ask most for an atom, shape (places, 3)."""
    steps = reach * np.array([one for one in product(SPAN, repeat=3) if np.square(one).sum() <= 1.0])
    trial = (place[:, None] + steps).reshape(-1, 3)
    score, information = at(scene, state, told, trial, range(len(state.turned)))
    root = np.sqrt(np.maximum(information, 1e-30))
    best = (score / root).reshape(-1, len(steps)).argmax(axis=1)
    return place + steps[best]


def _by_tilt(scene: Scene, state: State, models: F32, noise: Noise, height: F64) -> F64:
    """Return the relative height that each image alone would give each site, the others as they are, shape (T, N)."""
    made = np.empty((len(models), len(height)))
    for sort in np.unique(state.sort):
        members = np.flatnonzero(state.sort == sort)
        told = evidence(scene, state, models, noise, int(sort), float(state.width[members[0]]))
        for tilt in range(len(models)):
            score, information = at(scene, state, told, state.position[members], [tilt])
            usual = state.height[members]
            with np.errstate(divide="ignore", invalid="ignore"):
                made[tilt, members] = height[members] + score / (usual * information)
    return np.where(np.isfinite(made), made, np.nan)
