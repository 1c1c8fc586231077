"""Sites that come and go: atoms are added where the images ask for them and removed where they explain nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter
from scipy.spatial import cKDTree
from scipy.special import ndtri

from aetx.kernels.refinement import F32, F64, Fitted, Free, Noise, Plan, Prior, Scene, State, fit
from aetx.kernels.sites import candidates, evidence

STIFF = Free(heights="shared", widths="shared")
"""What is fitted while sites are searched, unless less is free: free heights would let false atoms live."""
HEIGHTS = Free(False, False, False, False, heights="each", widths="fixed", positions=False)
"""What is fitted to see how much of an atom is at a site."""
CLOSER = 0.35
"""Distance between two places, in separations, at which they are the same place."""
HOPELESS = 0.5
"""Height below which a site is taken away without asking again, over the least one."""
FIRST = Plan(rounds=12, inner=15, tolerance=0.05)
"""How far the poses are fitted before any site is judged: wrong ones make true atoms look false."""
AFRESH = Plan(rounds=6, inner=12, tolerance=0.003)
"""How far the others are fitted without the sites that are doubted: one of two that share an atom has far to go."""
FAINT, FAINTEST = 2.5, 0.3
"""How far below the usual height the faintest atom to expect stands, in standard deviations of what is known of
heights, and the least that it may be, over the usual one."""
ALARMS = 8
"""True sites that are doubted by chance at once, however many there are, if their heights spread normally."""
DIM = 0.5
"""How far below the usual height, in robust standard deviations, a site stands that is doubted for being close."""
CLEARLY = 1.5
"""Ratio of the heights of two atoms that are too close from which the higher one stays where it is."""
CALM = 4
"""Every how many rounds sites are doubted though others still change."""
WINDOW = 2.0
"""Half the edge of the square about an atom in which the deviance is compared, over its width."""
WHOLE = 0.8
"""Part of the images that must show the place of a new atom with all that is near it, and of one that is doubted."""
BESIDE = 0.8
"""Distance from another atom, and from a place where there may be none, at which a new one begins, in separations."""


class NothingLeftError(ValueError):
    """No site explains enough of the images to be an atom."""


@dataclass(frozen=True)
class Rules:
    """When a site becomes an atom, and when it stops being one."""

    least: float = 0.5
    """Height below which a site is no atom unless the images ask for it again, over that of its sort."""
    significance: float = 5.0
    """Least score of a new site over its standard deviation."""
    hint: float = 0.3
    """Least height of a new site before its neighbours have made room, over that of the faintest atom to expect."""
    separation: float = 1.6
    """Least distance of two atoms, angstrom."""
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
class Found:
    """Atoms after a search, and what was done."""

    fitted: Fitted
    ledger: tuple[Entry, ...]


def search(
    scene: Scene,
    state: State,
    noise: Noise,
    rules: Rules,
    *,
    free: Free = STIFF,
    plan: Plan | None = None,
    prior: Prior | None = None,
    kept: NDArray[np.integer] | None = None,
    barred: F64 | None = None,
) -> Found:
    """Fit, remove, merge and add until nothing changes.

    Parameters
    ----------
    scene, state, noise, free, plan, prior
        As for `refinement.fit`.
    rules
        What makes an atom.
    kept
        Ids of atoms that may not be removed.
    barred
        Places where, and next to which, none may be added, shape (places, 3), angstrom.

    Raises
    ------
    NothingLeftError
        When all sites would go.
    """
    plan = plan or Plan(rounds=4, inner=12, tolerance=0.1)
    short = replace(plan, rounds=2)
    spread = prior.height if prior and free.heights == "each" else 0.0
    rules = replace(rules, hint=rules.hint * float(np.clip(1.0 - FAINT * spread, FAINTEST, 1.0)))
    kept = np.zeros(0, np.int64) if kept is None else kept
    barred = np.zeros((0, 3)) if barred is None else barred
    closed: list[F64] = []
    begin, next_number = state, int(state.number.max(initial=-1)) + 1
    ledger: list[Entry] = []
    asked: set[int] = set(kept.tolist())
    fitted = fit(scene, state, free, noise, FIRST, prior, begin)
    residual = r_factor(scene, fitted.models)
    for turn in range(1, rules.rounds + 1):
        relative = heights(scene, fitted.state, noise)
        ask = turn % CALM == 0
        changes: list[Entry] = []
        more: list[Entry] = []
        if not ask:
            state, changes = pruned(fitted.state, relative, rules, kept)
            if not len(state.position):
                raise NothingLeftError
            closed += [np.array(one.position) for one in changes]
            if changes:
                fitted = fit(scene, state, free, noise, short, prior, begin)
            state, more = added(scene, fitted, noise, rules, np.reshape(closed, (-1, 3)), barred, next_number)
            next_number += len(more)
        if not changes and not more:
            state, changes, more = doubted(
                scene, fitted, relative, noise, rules, free, AFRESH, prior, begin, asked, barred, next_number
            )
            if not changes and not more and not ask:
                break
            asked |= {one.number for one in changes}
            next_number = max(next_number, int(state.number.max()) + 1)
        fitted = fit(scene, state, free, noise, short, prior, begin)
        before, residual = residual, r_factor(scene, fitted.models)
        ledger += [replace(one, round=turn, r_before=before, r_after=residual) for one in changes + more]
    return Found(fitted, tuple(ledger))


def heights(scene: Scene, state: State, noise: Noise) -> F64:
    """Return the height that each site has when all heights are free and nothing else, over that of its sort.

    NaN for atoms that too few images show.
    """
    usual = np.ones(len(scene.transfer))
    for one in np.unique(state.sort):
        usual[one] = np.median(state.height[state.sort == one])
    plan = Plan(rounds=1, inner=15)
    found = fit(scene, state, HEIGHTS, noise, plan).state.height / usual[state.sort]
    return np.where(scene.shown(state), found, np.nan)


def pruned(state: State, relative: F64, rules: Rules, kept: NDArray[np.integer]) -> tuple[State, list[Entry]]:
    """Return the atoms without those that explain too little, and pairs that are too close made one."""
    stays = np.ones(len(relative), bool)
    position = state.position.copy()
    entries: list[Entry] = []
    fixed = np.isin(state.number, kept)
    for i, k in sorted(cKDTree(position).query_pairs(rules.separation)):
        if not (stays[i] and stays[k]) or np.isnan(relative[[i, k]]).any():
            continue
        first, second = (i, k) if (fixed[i], relative[i]) >= (fixed[k], relative[k]) else (k, i)
        if fixed[second]:
            continue
        share = np.clip(relative[[first, second]], 1e-3, None)
        if not fixed[first] and share[0] < CLEARLY * share[1]:
            position[first] = share @ position[[first, second]] / share.sum()
        stays[second] = False
        reason = "closer to another atom than the separation"
        entries.append(_entry("merged", reason, state, second, relative[second]))
    weak = stays & (relative < HOPELESS * rules.least) & ~fixed
    order = np.flatnonzero(weak)[np.argsort(relative[weak], kind="stable")]
    near = cKDTree(position)
    for i in order:
        # neighbours share what one of them explains: the weakest goes first, the others are asked again
        if any(not stays[k] for k in near.query_ball_point(position[i], 1.5 * rules.separation) if k != i):
            continue
        stays[i] = False
        entries.append(_entry("removed", "explains less than the least part of an atom", state, i, relative[i]))
    return replace(state, position=position).of_atoms(np.flatnonzero(stays)), entries


def low(relative: F64, deviations: float) -> NDArray[np.bool_]:
    """Tell which heights are below the usual one by a number of robust standard deviations, shape (N,)."""
    known = relative[np.isfinite(relative)]
    if not known.size:
        return np.zeros(relative.size, bool)
    usual = float(np.median(known))
    return relative < usual - deviations * 1.4826 * float(np.median(np.abs(known - usual)))


def doubted(
    scene: Scene,
    fitted: Fitted,
    relative: F64,
    noise: Noise,
    rules: Rules,
    free: Free,
    plan: Plan,
    prior: Prior | None,
    begin: State,
    asked: set[int],
    barred: F64,
    next_number: int,
) -> tuple[State, list[Entry], list[Entry]]:
    """Take out the sites that stand low or close, once each, and return the atoms that the images ask for again.

    Two sites that share one atom, and an atom that sits astray between its place and another, look like this: no
    small move mends them. What is asked for at the same place is the same atom, and no change.
    """
    state = fitted.state
    near = cKDTree(state.position)
    deviations = max(rules.doubt, float(-ndtri(min(0.5, ALARMS / len(relative)))))
    doubtful = low(relative, deviations) | (relative < rules.least)
    if len(relative) > 1:
        away = np.asarray(near.query(state.position, 2)[0])[:, 1]
        doubtful |= low(away, deviations) & low(relative, DIM)
    doubtful &= scene.shown(state, WHOLE) & ~np.isin(state.number, sorted(asked))
    out: list[int] = []
    for i in np.flatnonzero(doubtful)[np.argsort(relative[doubtful], kind="stable")]:
        if not set(out).intersection(near.query_ball_point(state.position[i], 1.5 * rules.separation)):
            out.append(int(i))
    asked |= {int(state.number[i]) for i in out}
    if not out:
        return state, [], []
    if len(out) == len(relative):
        raise NothingLeftError
    gone = state.of_atoms(out)
    rest = state.of_atoms(np.setdiff1d(np.arange(len(relative)), out))
    again = fit(scene, rest, free, noise, plan, prior, begin)
    nothing = np.zeros((0, 3))
    grown, entries = added(scene, again, noise, rules, nothing, barred, next_number)
    place = np.reshape([one.position for one in entries], (-1, 3))
    number = grown.number.copy()
    same = np.zeros(len(out), bool)
    fresh = np.ones(len(entries), bool)
    if len(place):
        away, which = (np.asarray(one) for one in cKDTree(place).query(gone.position))
        for i in np.argsort(away, kind="stable"):
            if away[i] < CLOSER * rules.separation and fresh[which[i]]:
                same[i], fresh[which[i]] = True, False
                number[len(number) - len(entries) + which[i]] = gone.number[i]
    moved = near_any(gone.position, place[fresh] if len(place) else place, rules.separation)
    missed = missed_by(scene, fitted.state, gone.position, fitted.models, again.models, noise)
    back = np.flatnonzero(~same & ~moved & (missed > rules.significance**2))
    grown = joined(replace(grown, number=number), gone.of_atoms(back))
    same[back] = True
    text = "stood low among the others, and the images do not ask for it again"
    removed = [_entry("removed", text, gone, i, relative[out[i]]) for i in map(int, np.flatnonzero(~same))]
    return grown, removed, [one for one, new in zip(entries, fresh, strict=True) if new]


def near_any(place: F64, others: F64, distance: float) -> NDArray[np.bool_]:
    """Tell which places have another one within a distance, shape (places,)."""
    if not len(others) or not len(place):
        return np.zeros(len(place), bool)
    return np.asarray(cKDTree(others).query(place)[0]) < distance


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


def added(
    scene: Scene, fitted: Fitted, noise: Noise, rules: Rules, closed: F64, barred: F64, next_number: int
) -> tuple[State, list[Entry]]:
    """Return the atoms with those that the residuals ask for."""
    state = fitted.state
    usual = float(np.median(state.height))
    width = float(np.median(state.width))
    sort = int(np.bincount(state.sort).argmax())
    told = evidence(scene, state, fitted.models, noise, sort, width)
    found = candidates(
        scene, state, told, rules.significance, rules.hint * usual, rules.separation * BESIDE, rules.margin
    )
    place, score = found.place, found.significance
    for places, reach in ((closed, CLOSER), (barred, BESIDE)):
        if len(places) and len(place):
            away = cKDTree(places).query(place)[0] > reach * rules.separation
            place, score = place[away], score[away]
    shown = scene.shown(replace(state, position=place), WHOLE)
    place, score = place[shown], score[shown]
    count = len(place)
    numbers = next_number + np.arange(count)
    grown = replace(
        state,
        position=np.concatenate([state.position, place]),
        height=np.concatenate([state.height, np.full(count, usual)]),
        width=np.concatenate([state.width, np.full(count, width)]),
        sort=np.concatenate([state.sort, np.full(count, sort, np.int64)]),
        number=np.concatenate([state.number, numbers]),
    )
    reason = "the images hold more here than the atoms"
    return grown, [_entry("added", reason, grown, len(state.position) + i, float(score[i])) for i in range(count)]


def _entry(action: str, reason: str, state: State, i: int, score: float) -> Entry:
    x, y, z = state.position[i]
    return Entry(action, reason, 0, int(state.number[i]), (float(x), float(y), float(z)), float(score))


def r_factor(scene: Scene, models: NDArray[np.float32], tilts: Sequence[int] | None = None) -> float:
    """Return the mean over the images of sum|model - image| / sum|image|; NaN if all are empty."""
    each = r_by_tilt(scene, models)
    each = each if tilts is None else each[list(tilts)]
    known = each[np.isfinite(each)]
    return float(known.mean()) if known.size else np.nan


def r_by_tilt(scene: Scene, models: NDArray[np.float32]) -> F64:
    """Return sum|model - image| / sum|image| of each image; NaN where an image is empty."""

    def work(tilt: int) -> float:
        seen = scene.trusted(tilt)
        off, whole = np.abs(models[tilt] - scene.images[tilt]), np.abs(scene.images[tilt])
        if seen is not None:
            off, whole = off * seen, whole * seen
        total = float(whole.sum(dtype=np.float64))
        return float(off.sum(dtype=np.float64)) / total if total > 0 else np.nan

    return np.array(scene.each(work))
