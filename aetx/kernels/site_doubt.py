"""Sites that are doubted: taken out once, to see whether the images ask for them again."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter
from scipy.spatial import cKDTree
from scipy.special import ndtri

from aetx.kernels.refinement import F32, F64, I64, Fitted, Noise, Plan, Scene, State, median_of_sort, members_of
from aetx.kernels.site_growth import AROUND, CLOSER, WHOLE, Entry, Patch, Terms, added, entry, near_any

AFRESH = Plan(rounds=6, inner=12, tolerance=0.003)
"""How far the others are fitted without the sites that are doubted: one of two that share an atom has far to go."""
AS_BEFORE = 0.15
"""How far from a doubted site, in separations, the images may ask for it again with nothing to mend."""
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
    deviations = max(rules.doubt, float(-ndtri(min(0.5, ALARMS / len(relative)))))
    found = low(relative, state.sort, deviations) | (relative < rules.least)
    if len(relative) > 1:
        away = np.asarray(cKDTree(state.position).query(state.position, 2)[0])[:, 1]
        found |= low(away, np.zeros_like(state.sort), deviations) & low(relative, state.sort, DIM)
    found &= terms.scene.shown(state, WHOLE) & ~np.isin(state.number, sorted(asked))
    return lowest(state.position, relative, found, rules.separation)


def lowest(position: F64, values: F64, found: NDArray[np.bool_], separation: float) -> list[int]:
    """Return places that were found, those of the lowest values first, none within 1.5 separations of another.

    What two of them share is one's once the other goes: they are asked about one at a time.
    """
    out: list[int] = []
    near = cKDTree(position)
    for i in np.flatnonzero(found)[np.argsort(values[found], kind="stable")]:
        if not set(out).intersection(near.query_ball_point(position[i], 1.5 * separation)):
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


@dataclass(frozen=True)
class Change:
    """What the images ask for about one site: that it goes, or stands elsewhere, and what comes beside it."""

    gone: I64
    """Ids of atoms that are taken out."""
    come: State
    """Atoms that are put in."""
    entries: tuple[Entry, ...]


def doubted(terms: Terms, fitted: Fitted, relative: F64, out: list[int], next_number: int) -> list[Change]:
    """Take out some sites, but not all, and return what would have to change, in order of the sites.

    Two sites that share one atom, and an atom that sits astray between its place and another, look like this: no
    small move mends them. What is asked for at the same place is the same atom, and no change.
    """
    state, rules = fitted.state, terms.rules
    gone = state.of_atoms(out)
    rest = state.of_atoms(np.setdiff1d(np.arange(len(relative)), out))
    patch = Patch.near(terms, fitted, rest, gone.position, AROUND * rules.separation)
    again = patch.fitted(terms, AFRESH)
    grown, entries = added(terms, again, np.zeros((0, 3)), next_number, gone.position, ASTRAY)
    asked = grown.of_atoms(slice(len(rest.position), None))
    same, away = _pairs(gone.position, asked.position, CLOSER * rules.separation)
    fresh = np.setdiff1d(np.arange(len(entries)), same)
    beside = near_any(asked.position[fresh], asked.position[same[same >= 0]], rules.separation)
    fresh = fresh[~beside]  # what the hole of another left over is no atom
    moved = near_any(gone.position, asked.position[fresh], rules.separation)
    missed = missed_by(terms.scene, fitted.state, gone.position, fitted.models, again.models, terms.noise)
    lost = (same < 0) & (moved | (missed <= rules.significance**2))
    astray = (same >= 0) & (away > AS_BEFORE * rules.separation)
    owner = np.asarray(cKDTree(gone.position).query(asked.position[fresh])[1])
    usual = median_of_sort(state.height, state.sort)[out]
    text = "stood low among the others, and the images do not ask for it again"
    changes = []
    for i in range(len(out)):
        come, entries_here = asked.of_atoms(fresh[owner == i]), [entries[k] for k in fresh[owner == i]]
        if lost[i]:
            entries_here.insert(0, entry("removed", text, gone, i, relative[out[i]]))
        if astray[i]:
            place = asked.position[same[i]][None]
            come = joined(replace(gone.of_atoms([i]), position=place, height=usual[i : i + 1]), come)
        if lost[i] or len(come.position):
            number = gone.number[[i]] if lost[i] or astray[i] else gone.number[:0]
            changes.append(Change(number, come, tuple(entries_here)))
    return changes


def _pairs(first: F64, second: F64, distance: float) -> tuple[I64, F64]:
    """Return which of the second places is each of the first, the nearest pairs first: -1 for none, and how far."""
    which, away = np.full(len(first), -1), np.full(len(first), np.inf)
    if len(second):
        apart, nearest = (np.asarray(one) for one in cKDTree(second).query(first))
        for i in np.argsort(apart, kind="stable"):
            if apart[i] < distance and nearest[i] not in which:
                which[i], away[i] = nearest[i], apart[i]
    return which, away


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
