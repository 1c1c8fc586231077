"""Atoms that the images ask for: what makes a site an atom, and sites put where residuals hold one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from aetx.kernels.refinement import F64, I64, Fitted, Free, Noise, Plan, Prior, Scene, State, fit, medians
from aetx.kernels.sites import candidates, evidence, left_over

AROUND = 3.0
"""How far from a site that changes the others are fitted with it, and more are looked for, in separations."""
CLOSER = 0.35
"""Distance between two places, in separations, at which they are the same place."""
WHOLE = 0.8
"""Part of the images that must show the place of a new atom with all that is near it, and of one that is doubted."""
APART = 0.8
"""Distance from all atoms, over the usual one of neighbours, from which the place of an atom of a sort that is fainter
than the brightest is no leftover of a bright one."""
BESIDE = 0.8
"""Distance from another atom, and from a place where there may be none, at which a new one begins, in separations."""


@dataclass(frozen=True)
class Rules:
    """When a site becomes an atom, and when it stops being one."""

    least: float = 0.5
    """Height below which a site is no atom unless the images ask for it again, over that of its sort."""
    significance: float = 5.0
    """Least score of a new site over its standard deviation."""
    hint: float = 0.5
    """Least height of a new site, over that of the faintest atom to expect, if its neighbours made room for it."""
    separation: float = 1.6
    """Least distance of two atoms, angstrom."""
    two: float = 1.5
    """Sum of the heights of two sites too close, over the usual one of the brighter, from which they are two atoms."""
    doubt: float = 2.5
    """How far below the usual height, in its robust standard deviations, a site is taken out once to see whether the
    images ask for it again."""
    margin: float = 3.0
    """How far beyond the outermost atoms new sites are looked for, angstrom."""
    rounds: int = 12
    """Most rounds."""


@dataclass(frozen=True)
class Entry:
    """One change of the sites."""

    action: str
    reason: str
    round: int
    number: int
    position: tuple[float, float, float]
    score: float
    r_before: float = np.nan
    r_after: float = np.nan


@dataclass(frozen=True)
class Terms:
    """What a search goes by."""

    scene: Scene
    noise: Noise
    rules: Rules
    free: Free
    prior: Prior | None
    barred: F64
    """Places where, and next to which, none may be added, shape (places, 3), angstrom."""


@dataclass(frozen=True)
class Patch:
    """Some of the atoms; the images of the others lie beneath them and stay as they are, and so do all poses."""

    scene: Scene
    state: State
    whole: State
    chosen: NDArray[np.intp]
    """Which atoms of the whole these are."""

    @classmethod
    def near(cls, terms: Terms, fitted: Fitted, state: State, places: F64, reach: float) -> Patch:
        """Return the atoms of a state that are within a distance of any place.

        Parameters
        ----------
        terms, fitted
            What a search goes by, and the images of its atoms as they were.
        state
            Its atoms as they are now: all that differ from those that were fitted are near a place.
        places
            Shape (places, 3), angstrom.
        reach
            Angstrom.
        """
        chosen = np.flatnonzero(near_any(state.position, places, reach))
        before = np.flatnonzero(near_any(fitted.state.position, places, reach))
        dark = np.zeros_like(state.background)
        gone = terms.scene.models(replace(fitted.state.of_atoms(before), background=dark))
        scene = replace(terms.scene, under=fitted.models - gone)
        return cls(scene, replace(state.of_atoms(chosen), background=dark), state, chosen)

    def fitted(self, terms: Terms, plan: Plan) -> Fitted:
        """Return the whole with these atoms fitted anew."""
        if not self.chosen.size:
            return Fitted(self.whole, self.scene.models(self.state), np.nan, 0.0, 0)
        names = {"heights": terms.free.heights, "widths": terms.free.widths}
        own: dict[str, Any] = {name: free if free == "each" else "fixed" for name, free in names.items()}
        found = fit(self.scene, self.state, Free(False, False, False, False, **own), terms.noise, plan, terms.prior)
        made = {}
        for name in ("position", "height", "width"):
            values = getattr(self.whole, name).copy()
            values[self.chosen] = getattr(found.state, name)
            made[name] = values
        return replace(found, state=replace(self.whole, **made))


def near_any(place: F64, others: F64, distance: float) -> NDArray[np.bool_]:
    """Tell which places have another one within a distance, shape (places,)."""
    if not len(others) or not len(place):
        return np.zeros(len(place), bool)
    return np.asarray(cKDTree(others).query(place, distance_upper_bound=distance)[0]) < distance


def added(
    terms: Terms, fitted: Fitted, closed: F64, next_number: int, around: F64 | None = None, reach: float = AROUND
) -> tuple[State, list[Entry]]:
    """Return the atoms with those that the residuals ask for, each of the sort whose usual height is nearest.

    Parameters
    ----------
    terms, fitted
        What a search goes by, and its atoms.
    closed
        Places that are not asked for again, shape (places, 3), angstrom.
    next_number
        Id of the first new atom.
    around, reach
        Places near which is looked, angstrom, and how near, in separations; in the margin of all atoms if left out.
    """
    scene, rules, state = terms.scene, terms.rules, fitted.state
    if around is not None and not len(around):
        return state, []
    usual, width = medians(state.height, state.sort, len(scene.transfer)), float(np.median(state.width))
    commonest = int(np.bincount(state.sort).argmax())
    told = evidence(scene, state, fitted.models, terms.noise, commonest, width)
    within, far = (state.position, rules.margin) if around is None else (around, reach * rules.separation)
    room, share = rules.separation * BESIDE, left_over(scene, state, told, rules.separation)
    least = rules.hint * share * float(np.nanmin(usual))
    found = candidates(scene, state, told, rules.significance, least, room, far, within)
    asked = scene.shown(replace(state, position=found.place), WHOLE)
    asked &= (found.height >= rules.hint * share * np.nanmax(usual)) | _apart(state.position, found.place)
    for places, distance in ((closed, CLOSER), (terms.barred, BESIDE)):
        asked &= ~near_any(found.place, places, distance * rules.separation)
    place, score = found.place[asked], found.significance[asked]
    sort, count = nearest_sort(found.height[asked] / share, usual), len(place)
    grown = replace(
        state,
        position=np.concatenate([state.position, place]),
        height=np.concatenate([state.height, usual[sort]]),
        width=np.concatenate([state.width, np.full(count, width)]),
        sort=np.concatenate([state.sort, sort]),
        number=np.concatenate([state.number, next_number + np.arange(count)]),
    )
    reason = "the images hold more here than the atoms"
    return grown, [entry("added", reason, grown, len(state.position) + i, float(score[i])) for i in range(count)]


def nearest_sort(height: F64, usual: F64) -> I64:
    """Return the sort whose usual height, shape (sorts,), is nearest to each height by ratio; NaN is none."""
    apart = np.abs(np.log(np.maximum(height, 1e-9 * np.nanmax(usual)))[:, None] - np.log(usual))
    return np.nanargmin(apart, axis=1).astype(np.int64)


def _apart(position: F64, place: F64) -> NDArray[np.bool_]:
    """Tell which places are about as far from all atoms as these are from each other."""
    if len(position) < 2:
        return np.ones(len(place), bool)
    near = cKDTree(position)
    usual = float(np.median(np.asarray(near.query(position, 2)[0])[:, 1]))
    return ~near_any(place, position, APART * usual)


def entry(action: str, reason: str, state: State, i: int, score: float) -> Entry:
    """Return the entry of a change of one atom of a state."""
    x, y, z = state.position[i]
    return Entry(action, reason, 0, int(state.number[i]), (float(x), float(y), float(z)), float(score))
