"""Sites that are doubted: taken out once, to see whether the images ask for them again."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter
from scipy.spatial import cKDTree
from scipy.special import ndtri

from aetx.kernels.refinement import F32, F64, I64, Fitted, Noise, Plan, Scene, State, median_of_sort, members_of
from aetx.kernels.site_growth import AROUND, CLOSER, WHOLE, Entry, Patch, Terms, added, entry, near_any

AFRESH = Plan(rounds=6, inner=12, tolerance=0.003)
"""How far the others are fitted without the sites that are doubted: one of two that share an atom has far to go."""
ASTRAY = 2.0
"""How far from a doubted site the images are asked what is there, in separations."""
ALARMS = 8
"""True sites that are doubted by chance at once, however many there are, if their heights spread normally."""
DIM = 0.5
"""How far below the usual height, in robust standard deviations, a site stands that is doubted for being close."""
WINDOW = 2.0
"""Half the edge of the square about an atom in which the deviance is compared, over its width."""


def doubtful(terms: Terms, state: State, relative: F64, asked: AbstractSet[int]) -> list[int]:
    """Return the sites that stand low or close and were not asked about, the lowest first, no two of them together."""
    rules = terms.rules
    near = cKDTree(state.position)
    deviations = max(rules.doubt, float(-ndtri(min(0.5, ALARMS / len(relative)))))
    found = low(relative, state.sort, deviations) | (relative < rules.least)
    if len(relative) > 1:
        away = np.asarray(near.query(state.position, 2)[0])[:, 1]
        found |= low(away, np.zeros_like(state.sort), deviations) & low(relative, state.sort, DIM)
    found &= terms.scene.shown(state, WHOLE) & ~np.isin(state.number, sorted(asked))
    out: list[int] = []
    for i in np.flatnonzero(found)[np.argsort(relative[found], kind="stable")]:
        if not set(out).intersection(near.query_ball_point(state.position[i], 1.5 * rules.separation)):
            out.append(int(i))
    return out


def low(values: F64, sort: I64, deviations: float) -> NDArray[np.bool_]:
    """Tell which values are below the usual one of their sort by a number of its robust standard deviations."""
    found = np.zeros(values.size, bool)
    for members in members_of(sort, int(sort.max(initial=-1)) + 1):
        known = values[members][np.isfinite(values[members])]
        if known.size:
            usual = float(np.median(known))
            spread = 1.4826 * float(np.median(np.abs(known - usual)))
            found[members] = values[members] < usual - deviations * spread
    return found


def doubted(
    terms: Terms, fitted: Fitted, relative: F64, out: list[int], next_number: int
) -> tuple[State, list[Entry], list[Entry]]:
    """Take out some sites, but not all, and return the atoms that the images ask for again.

    Two sites that share one atom, and an atom that sits astray between its place and another, look like this: no
    small move mends them. What is asked for at the same place is the same atom, and no change.
    """
    state, rules = fitted.state, terms.rules
    gone = state.of_atoms(out)
    rest = state.of_atoms(np.setdiff1d(np.arange(len(relative)), out))
    patch = Patch.near(terms, fitted, rest, gone.position, AROUND * rules.separation)
    again = patch.fitted(terms, AFRESH)
    grown, entries = added(terms, again, np.zeros((0, 3)), next_number, gone.position, ASTRAY)
    place = np.reshape([one.position for one in entries], (-1, 3))
    number, sort, height = grown.number.copy(), grown.sort.copy(), grown.height.copy()
    first, usual = len(number) - len(entries), median_of_sort(state.height, state.sort)[out]
    same = np.zeros(len(out), bool)
    fresh = np.ones(len(entries), bool)
    if len(place):
        away, which = (np.asarray(one) for one in cKDTree(place).query(gone.position))
        for i in np.argsort(away, kind="stable"):
            if away[i] < CLOSER * rules.separation and fresh[which[i]]:
                same[i], fresh[which[i]] = True, False
                number[first + which[i]], sort[first + which[i]] = gone.number[i], gone.sort[i]
                height[first + which[i]] = usual[i]
    beside = fresh & near_any(place, place[~fresh], rules.separation)  # what the hole of another left over
    fresh &= ~beside
    moved = near_any(gone.position, place[fresh], rules.separation)
    missed = missed_by(terms.scene, fitted.state, gone.position, fitted.models, again.models, terms.noise)
    back = np.flatnonzero(~same & ~moved & (missed > rules.significance**2))
    grown = replace(grown, number=number, sort=sort, height=height)
    grown = grown.of_atoms(np.delete(np.arange(len(number)), first + np.flatnonzero(beside)))
    grown = joined(grown, gone.of_atoms(back))
    same[back] = True
    text = "stood low among the others, and the images do not ask for it again"
    removed = [entry("removed", text, gone, i, relative[out[i]]) for i in map(int, np.flatnonzero(~same))]
    return grown, removed, [one for one, new in zip(entries, fresh, strict=True) if new]


def joined(first: State, second: State) -> State:
    """Return the atoms of two states, with the poses of the first."""
    names = ("position", "height", "width", "sort", "number")
    return replace(first, **{name: np.concatenate([getattr(first, name), getattr(second, name)]) for name in names})


def missed_by(scene: Scene, state: State, place: F64, before: F32, after: F32, noise: Noise) -> F64:
    """Return by how much the deviance around places rose from one fit to another, shape (places,).

    In each image it is summed over a square about the place; the median over the images, times their number, is not
    misled by what else changed along the same ray.
    """
    half = max(1, round(WINDOW * float(np.median(state.width)) / scene.step))
    seen = replace(state, position=place)

    def work(tilt: int) -> F64:
        image, trusted = scene.images[tilt], scene.trusted(tilt)
        rise = noise.deviances(tilt, image, after[tilt], trusted) - noise.deviances(tilt, image, before[tilt], trusted)
        x, y = scene.place(seen, tilt)
        summed = uniform_filter(rise, 2 * half + 1, mode="constant") * (2 * half + 1) ** 2
        row, column = (
            np.clip(np.rint(one).astype(int), 0, size - 1) for one, size in zip((y, x), rise.shape, strict=True)
        )
        made: F64 = summed[row, column]
        return made

    return np.median(scene.each(work), axis=0) * len(before)
