"""Sites that come and go: atoms are added where the images ask for them and removed where they explain nothing."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from aetx.kernels.refinement import (
    F64,
    Fitted,
    Free,
    Noise,
    Plan,
    Prior,
    Scene,
    State,
    deviance,
    fit,
    median_of_sort,
    medians,
)
from aetx.kernels.site_doubt import AFRESH, Change, doubted, doubtful, joined
from aetx.kernels.site_growth import AROUND, CLOSER, Entry, Patch, Rules, Terms, added, entry, near_any, nearest_sort

STIFF = Free(heights="shared", widths="shared")
"""What is fitted while sites are searched, unless less is free: free heights would let false atoms live."""
HEIGHTS = Free(False, False, False, False, heights="each", widths="fixed", positions=False)
"""What is fitted to see how much of an atom is at a site."""
HOPELESS = 0.5
"""Height below which a site is taken away without asking again, over the least one."""
FIRST = Plan(rounds=12, inner=15, tolerance=0.05)
"""How far the poses are fitted before any site is judged: wrong ones make true atoms look false."""
FAINT, FAINTEST = 2.5, 0.15
"""How far from the usual height the faintest and the brightest atom to expect stand, in standard deviations of what is
known of heights, and the least that the faintest may be, over the usual one."""
CLEARLY = 1.5
"""Ratio of the heights of two atoms that are too close from which the higher one stays where it is."""
CALM = 4
"""Every how many rounds sites are doubted though others still change."""
HALVINGS = 3
"""How often sites that were doubted together, and should not have been, are halved before they are left alone."""
MANY = 0.5
"""Part of the atoms near a site that changes, from which all are fitted with their images, not these alone."""


class NothingLeftError(ValueError):
    """No site explains enough of the images to be an atom."""


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
    fitted: Fitted | None = None,
    free: Free = STIFF,
    plan: Plan | None = None,
    prior: Prior | None = None,
    kept: NDArray[np.integer] | None = None,
    barred: F64 | None = None,
) -> Found:
    """Fit, remove, merge and add until nothing changes.

    What is around the sites that change is fitted after every change, all of it at the end.

    Parameters
    ----------
    scene, state, noise, free, plan, prior
        As for `refinement.fit`.
    rules
        What makes an atom.
    fitted
        The fit of the state, if it was fitted already with what is free.
    kept
        Ids of atoms that may not be removed.
    barred
        Places where, and next to which, none may be added, shape (places, 3), angstrom.

    Raises
    ------
    NothingLeftError
        When all sites would go.
    """
    spread = prior.height if prior and free.heights == "each" else 0.0
    far = FAINT * spread
    rules = replace(rules, hint=rules.hint * float(np.clip(1.0 - far, FAINTEST, 1.0)), two=max(rules.two, 1.0 + far))
    terms = Terms(scene, noise, rules, free, prior, np.zeros((0, 3)) if barred is None else barred)
    short = replace(plan or Plan(rounds=4, inner=12, tolerance=0.1), rounds=2)
    work = _Search(terms, state, short, np.zeros(0, np.int64) if kept is None else kept, fitted)
    residual, ledger = r_factor(scene, work.fitted.models), []
    for turn in range(1, rules.rounds + 1):
        ask = turn % CALM == 0
        entries = [] if ask else work.changed()
        entries = entries or work.questioned()
        if not entries and not ask:
            break
        before, residual = residual, r_factor(scene, work.fitted.models)
        ledger += [replace(one, round=turn, r_before=before, r_after=residual) for one in entries]
    return Found(work.ended(), tuple(ledger))


class _Search:
    """A search on its way: atoms as they are fitted, their heights, and where was asked already."""

    def __init__(
        self, terms: Terms, begin: State, plan: Plan, kept: NDArray[np.integer], fitted: Fitted | None
    ) -> None:
        self.terms, self.begin, self.plan, self.kept = terms, begin, plan, kept
        self.closed: list[tuple[float, float, float]] = []
        self.asked: set[int] = set(kept.tolist())
        self.relabelled: set[int] = set(kept.tolist())
        self.next_number = int(begin.number.max(initial=-1)) + 1
        self.fitted = fitted or fit(terms.scene, begin, terms.free, terms.noise, FIRST, terms.prior, begin)
        self.judged, self.touched = self.fitted.state, list[F64]()
        self.relative = heights(terms.scene, self.judged, terms.noise)
        self.looked: list[F64] | None = None
        """Where atoms changed since more were looked for; None for everywhere."""

    def changed(self) -> list[Entry]:
        """Take away what explains too little, make one of what is too close, and add what is missing."""
        state, gone = pruned(self.fitted.state, self.relative, self.terms.rules, self.kept)
        if not len(state.position):
            raise NothingLeftError
        if gone:
            self.closed += [one.position for one in gone]
            self._settle(state, _places(gone))
        around = None if self.looked is None else np.concatenate([np.zeros((0, 3)), *self.looked])
        closed, self.looked = np.reshape(self.closed, (-1, 3)), []
        grown, new = added(self.terms, self.fitted, closed, self.next_number, around)
        if new:
            self._settle(grown, _places(new))
        self._judge()
        other = self._relabel()
        self._judge()
        return gone + new + other

    def questioned(self) -> list[Entry]:
        """Take out what stands low or close, once, and keep what the images ask for again."""
        state = self.fitted.state
        out = doubtful(self.terms, state, self.relative, self.asked)
        if not out:
            return []
        if len(out) == len(self.relative):
            raise NothingLeftError
        self.asked |= {int(state.number[i]) for i in out}
        return self._tried(doubted(self.terms, self.fitted, self.relative, out, self.next_number))

    def _tried(self, changes: list[Change], halvings: int = HALVINGS) -> list[Entry]:
        """Change what doubts ask for, and undo it where the images are explained worse; then a half at a time."""
        if not changes:
            return []
        before, state = copy(self), self.fitted.state
        gone = np.concatenate([one.gone for one in changes])
        rest = state.of_atoms(~np.isin(state.number, gone))
        come = [one.come for one in changes]
        places = [state.position[np.isin(state.number, gone)], *(one.position for one in come)]
        self._settle(reduce(joined, come, rest), np.concatenate(places), AFRESH)
        entries = [entry for one in changes for entry in one.entries]
        removed = [one.number for one in entries if one.action == "removed"]
        if self.deviates > before.deviates + len(removed) * self.terms.rules.significance**2:
            vars(self).update(vars(before))
            if len(changes) == 1 or not halvings:
                return []
            return self._tried(changes[::2], halvings - 1) + self._tried(changes[1::2], halvings - 1)
        self.asked |= set(removed)
        self._judge()
        other = self._relabel()
        self._judge()
        return entries + other

    @property
    def deviates(self) -> float:
        """The deviance of the images from the atoms."""
        return deviance(self.terms.scene, self.terms.noise, self.fitted.models)

    def ended(self) -> Fitted:
        """Return all atoms fitted with their images."""
        state = self.fitted.state
        if state.number is not self.begin.number or state.sort is not self.begin.sort:
            self._settle(state, state.position)
        return self.fitted

    def _settle(self, state: State, places: F64, plan: Plan | None = None) -> None:
        """Fit atoms where they change; where that is nearly everywhere, all and their images."""
        terms, reach, plan = self.terms, AROUND * self.terms.rules.separation, plan or self.plan
        self.next_number = max(self.next_number, int(state.number.max()) + 1)
        if near_any(state.position, places, reach).mean() > MANY:
            self.fitted = fit(terms.scene, state, terms.free, terms.noise, plan, terms.prior, self.begin)
            self.looked = None
        else:
            self.fitted = Patch.near(terms, self.fitted, state, places, reach).fitted(terms, plan)
        self.touched = [*self.touched, places]
        if self.looked is not None:
            self.looked = [*self.looked, places]

    def _judge(self) -> None:
        """Find the heights anew where atoms changed."""
        if not self.touched:
            return
        terms, state, reach = self.terms, self.fitted.state, AROUND * self.terms.rules.separation
        places, self.touched = np.concatenate(self.touched), []
        if near_any(state.position, places, reach).mean() > MANY:
            self.relative = heights(terms.scene, state, terms.noise)
        else:
            patch = Patch.near(terms, self.fitted, state, places, reach)
            known = dict(zip(self.judged.number.tolist(), self.relative, strict=True))
            self.relative = np.array([known.get(number, np.nan) for number in state.number.tolist()])
            if patch.chosen.size:
                self.relative[patch.chosen] = heights(patch.scene, patch.state, terms.noise, state)
        self.judged = state

    def _relabel(self) -> list[Entry]:
        """Make atoms that were added, or went to another place, of the sort whose usual height is nearest to theirs."""
        state, begin = self.fitted.state, self.begin
        usual = medians(state.height, state.sort, len(self.terms.scene.transfer))
        sort = nearest_sort(np.nan_to_num(self.relative, nan=1.0) * usual[state.sort], usual)
        if (sort == state.sort).all():
            return []
        began = dict(zip(begin.number.tolist(), begin.position, strict=True))
        before = np.array([began.get(number, np.full(3, np.inf)) for number in state.number.tolist()])
        away = np.linalg.norm(state.position - before, axis=1) > CLOSER * self.terms.rules.separation
        other = (sort != state.sort) & away & ~np.isin(state.number, sorted(self.relabelled))
        if not other.any():
            return []
        self.relabelled = self.relabelled | set(state.number[other].tolist())
        sort, height = np.where(other, sort, state.sort), np.where(other, usual[sort], state.height)
        self._settle(replace(state, sort=sort, height=height), state.position[other])
        text = "as high as atoms of another element"
        return [entry("relabelled", text, state, i, self.relative[i]) for i in map(int, np.flatnonzero(other))]


def _places(entries: Sequence[Entry]) -> F64:
    """Return where sites changed, shape (entries, 3), angstrom."""
    return np.reshape([one.position for one in entries], (-1, 3)).astype(np.float64)


def heights(scene: Scene, state: State, noise: Noise, whole: State | None = None) -> F64:
    """Return the height that each site has when all heights are free and nothing else, over that of its sort.

    NaN for atoms that too few images show. The usual height is that of `whole` where these atoms are a part of it.
    """
    known = whole or state
    usual = medians(known.height, known.sort, len(scene.transfer))
    plan = Plan(rounds=1, inner=15)
    found = fit(scene, state, HEIGHTS, noise, plan).state.height / usual[state.sort]
    return np.where(scene.shown(state), found, np.nan)


def pruned(state: State, relative: F64, rules: Rules, kept: NDArray[np.integer]) -> tuple[State, list[Entry]]:
    """Return the atoms without those that explain too little, and pairs that share one atom made one."""
    stays = np.ones(len(relative), bool)
    position, relative = state.position.copy(), relative.copy()
    entries: list[Entry] = []
    fixed = np.isin(state.number, kept)
    usual = median_of_sort(state.height, state.sort)
    bright = relative * usual
    for i, k in sorted(cKDTree(position).query_pairs(rules.separation)):
        if not (stays[i] and stays[k]) or not bright[[i, k]].sum() < rules.two * usual[[i, k]].max():
            continue
        first, second = (i, k) if (fixed[i], bright[i]) >= (fixed[k], bright[k]) else (k, i)
        if fixed[second]:
            continue
        share = np.clip(bright[[first, second]], 1e-3 * usual[first], None)
        if not fixed[first] and share[0] < CLEARLY * share[1]:
            position[first] = share @ position[[first, second]] / share.sum()
        stays[second] = False
        reason = "closer to another atom than the separation"
        entries.append(entry("merged", reason, state, second, relative[second]))
        bright[first] += bright[second]
        relative[first] = bright[first] / usual[first]
    weak = stays & (relative < HOPELESS * rules.least) & ~fixed
    order = np.flatnonzero(weak)[np.argsort(relative[weak], kind="stable")]
    near = cKDTree(position)
    for i in order:
        # neighbours share what one of them explains: the weakest goes first, the others are asked again
        if any(not stays[k] for k in near.query_ball_point(position[i], 1.5 * rules.separation) if k != i):
            continue
        stays[i] = False
        entries.append(entry("removed", "explains less than the least part of an atom", state, i, relative[i]))
    return replace(state, position=position).of_atoms(np.flatnonzero(stays)), entries


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
