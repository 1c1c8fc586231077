"""How free the heights and widths of atoms may be: as free as images that the fit has not seen allow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from aetx.kernels.held_out import Split, judged
from aetx.kernels.refinement import F64, Fitted, Free, Noise, Plan, Prior, Scene, State, fit, median_of_sort

Freedom = Literal["auto", "fixed", "shared", "each"]
"""Fixed, shared by a sort, of each atom, or what held-out images prefer."""

CHANCE = 2.0
"""Fall of the deviance of held-out images that counts, in standard deviations of what noise alone makes of it."""
SPREADS = (0.05, 0.15, 0.4)
"""Relative standard deviations of the prior of heights and widths of their own that are tried."""
LONG, SHORT = Plan(6, 20), Plan(2, 10)
"""How far a freedom that is kept is fitted, and one that is tried."""
BRIGHTEN = Plan(rounds=3, inner=12)
"""How far intensities are fitted before places are."""


@dataclass(frozen=True)
class Choice:
    """What held-out images prefer, with the fits of both parts."""

    free: Free
    prior: Prior
    work: Fitted
    judged: Fitted


@dataclass(frozen=True)
class Halves:
    """Images that are fitted, images that are held out, and what is known of all before the fit."""

    work: Scene
    unseen: Scene
    parts: Split
    state: State
    """All images as they are now, for the poses and intensities of the held-out ones."""
    begin: State
    """All images as they were measured."""

    def tried(self, free: Free, known: Prior, start: State, plan: Plan, noise: Noise) -> Choice:
        """Fit the one half, and then the poses and intensities of the other to the atoms that were found."""
        begin = self.begin.of_tilts(self.parts.work)
        one = fit(self.work, start, free, noise.of_tilts(self.parts.work), plan, known, begin)
        if not self.parts.free.size:
            return Choice(free, known, one, one)
        names = ("turned", "shift", "scale", "background", "stretch")
        held = replace(one.state, **{name: getattr(self.state, name)[self.parts.free] for name in names})
        begin, noise = self.begin.of_tilts(self.parts.free), noise.of_tilts(self.parts.free)
        return Choice(free, known, one, judged(self.unseen, held, free, noise, known, begin))

    def better(self, one: Choice, other: Choice, noise: Noise) -> bool:
        """Tell whether the held-out images are explained better by another choice, and by more than chance."""
        noise, chance = noise.of_tilts(self.parts.free), 0.0
        for tilt, (before, after) in enumerate(zip(one.judged.models, other.judged.models, strict=True)):
            weight = noise.weight(tilt, before, self.unseen.trusted(tilt)).astype(np.float64)
            chance += float((weight * (before - after) ** 2).sum())
        return one.judged.deviance - other.judged.deviance > CHANCE * 2.0 * chance**0.5


def begun(free: Free, wishes: Mapping[str, Freedom]) -> Free:
    """Return what is fitted before anything is known about `heights` and `widths`: shared where they may vary."""
    first: dict[str, Any] = {n: "shared" if wish in ("auto", "each") else wish for n, wish in wishes.items()}
    return replace(free, **first)


def brightened(scene: Scene, begin: State, free: Free, noise: Noise, prior: Prior) -> State:
    """Return the state with its intensities fitted, then with its widths too; places and angles stay."""
    level = replace(free, positions=False, angles=False)
    lit = fit(scene, begin, replace(level, widths="fixed"), noise, BRIGHTEN, prior, begin).state
    return fit(scene, lit, level, noise, BRIGHTEN, prior, begin).state


def loose(free: Free, wishes: Mapping[str, Freedom], prior: Prior, relative: F64 | None = None) -> tuple[Free, Prior]:
    """Return what is fitted while sites are searched: heights of each atom, if they may, about as alike as they look.

    Heights that are held equal where they are not drive atoms from their places; heights that are held by nothing let
    false atoms live. `relative` are the heights over that of their sort, NaN where they are not known; without them
    atoms are taken to be moderately alike.
    """
    free = begun(free, wishes)
    if wishes["heights"] not in ("auto", "each"):
        return free, prior
    known = np.zeros(0) if relative is None else relative[np.isfinite(relative)]
    spread = 1.4826 * float(np.median(np.abs(known - np.median(known)))) if known.size else SPREADS[1]
    return replace(free, heights="each"), replace(prior, height=float(np.clip(spread, SPREADS[0], SPREADS[-1])))


def chosen(
    halves: Halves,
    fitted: Fitted,
    free: Free,
    wishes: Mapping[str, Freedom],
    noise: Noise,
    prior: Prior,
    tolerance: float,
) -> Choice:
    """Fit with ever more freedom, and keep each only where the deviance of held-out images falls beyond chance."""
    long, short = replace(LONG, tolerance=tolerance), replace(SHORT, tolerance=tolerance)
    best = halves.tried(begun(free, wishes), prior, _alike(fitted.state, wishes), long, noise)
    start = fitted.state
    for name, wish in wishes.items():
        own: dict[str, Any] = {name: "each"}
        if wish == "each":
            best = halves.tried(replace(best.free, **own), best.prior, best.work.state, long, noise)
        elif wish == "auto" and halves.parts.free.size:
            for spread in SPREADS:
                known = replace(best.prior, **{name.removesuffix("s"): spread})
                other = halves.tried(replace(best.free, **own), known, start, short, noise)
                if not halves.better(best, other, noise):
                    break
                best, start = other, other.work.state
        start = best.work.state
    return best


def _alike(state: State, wishes: Mapping[str, Freedom]) -> State:
    """Return the state with the heights, and the widths, of each sort made one where they are not known to differ."""
    for name, wish in wishes.items():
        if wish in ("auto", "each"):
            one = name.removesuffix("s")
            usual: dict[str, Any] = {one: median_of_sort(getattr(state, one), state.sort)}
            state = replace(state, **usual)
    return state
