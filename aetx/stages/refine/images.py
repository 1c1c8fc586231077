"""Atoms, angles and shifts fitted to the measured images, and sites that come and go by what the images say."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import numpy as np
import xarray as xr
from pydantic import Field, model_validator

from aetx.core import Angle, Forecast, InputSizes, Length, Params, stage
from aetx.core.edits import decided
from aetx.core.ledger import continued, entries, last_round
from aetx.core.model_images import Problem3D, problem_of, refined
from aetx.errors import AetxWarning, InputError, Problem
from aetx.kernels.bound import UndeterminedError
from aetx.kernels.held_out import Split, estimated, gain_of_atoms, joined, judged, split
from aetx.kernels.model_error import ErrorBars, Excess, error_bars
from aetx.kernels.refinement import (
    F64,
    Fitted,
    Free,
    Linear,
    Noise,
    Plan,
    Prior,
    Scene,
    State,
    fit,
    median_of_sort,
    without_gauge,
)
from aetx.kernels.site_search import Entry, Found, NothingLeftError, Rules, heights, low, r_by_tilt, r_factor, search
from aetx.model import ATOMS, TILT_SERIES

Freedom = Literal["auto", "fixed", "shared", "each"]

SOFT = 0.3
"""Offset of the variance while sites are searched, in electrons: a missing atom must not outweigh all others."""
DOUBT = 2.5
"""How far below the usual height, in robust standard deviations, an atom stands whom held-out images may overrule."""
EVEN = 0.5
"""Probability below which a site is no atom."""
CHANCE = 2.0
"""Fall of the deviance of held-out images that counts, in standard deviations of what noise alone makes of it."""
SPREADS = (0.05, 0.15, 0.4)
"""Relative standard deviations of the prior of heights and widths of their own that are tried."""


class ImagesParams(Params):
    """Parameters of `images`."""

    profile: Literal["kirkland", "gaussian"] = Field(
        "kirkland",
        description="shape of an atom: a Gaussian with the element's scattering factor f(q)/f(0), or without",
    )
    width: Length | None = Field(
        None, gt=0, le=10, description="Gaussian standard deviation that the fit starts from; none for 0.5 angstrom"
    )
    angles: bool = Field(True, description="fit the three angles of each image")
    shifts: bool = Field(True, description="fit the shift of each image")
    scale: bool = Field(True, description="fit the intensity scale of each image")
    background: bool = Field(True, description="fit a constant background of each image")
    distortion: bool = Field(False, description="fit stretch and shear of each image in its plane")
    extended: bool = Field(
        False, description="the specimen goes on beyond the atoms: fit only pixels whose whole ray lies among them"
    )
    angle_error: Angle = Field(3.0, gt=0, le=90, description="standard deviation of the angles before the fit")
    shift_error: Length = Field(2.0, gt=0, le=1000, description="standard deviation of the shifts before the fit")
    distortion_error: float = Field(
        0.02, gt=0, le=1, description="standard deviation of stretch and shear before the fit, with distortion"
    )
    heights: Freedom = Field(
        "auto",
        description="heights of the atoms: fixed, shared by an element, of each atom, or what held-out images prefer",
    )
    widths: Freedom = Field(
        "auto",
        description="widths of the atoms: fixed, shared by an element, of each atom, or what held-out images prefer",
    )
    noise: Literal["estimated", "poisson"] = Field(
        "estimated",
        description="variance of a pixel: gain and offset from the residuals, or that of counts; a series with its own "
        "variance keeps it",
    )
    sites: bool = Field(True, description="add, merge and remove atoms by what the images say")
    least: float = Field(0.5, gt=0, lt=1, description="height below which a site is no atom, over the usual height")
    significance: float = Field(4.0, ge=2, le=100, description="least score of a new site over its standard deviation")
    separation: Length = Field(1.6, gt=0, le=10, description="least distance of two atoms")
    margin: Length = Field(3.0, ge=0, le=100, description="how far beyond the outermost atoms new ones are looked for")
    held_out: int = Field(3, ge=0, le=1000, description="images held out to judge sites and freedom; 0 for none")
    errors: Literal["drawn", "exact", "none"] = Field(
        "drawn", description="standard errors from random errors of the same fit, from the whole Fisher matrix, or none"
    )
    samples: int = Field(4, ge=2, le=10_000, description="random errors of the same fit that are drawn")
    odds: float = Field(1.0, gt=0, le=1e9, description="odds that a site is an atom, before the images are seen")
    seed: int = Field(0, ge=0, lt=2**63, description="seed of the random errors")
    rounds: int = Field(12, ge=1, le=1000, description="most rounds of adding and removing")
    tolerance: float = Field(
        0.005, gt=0, lt=1, description="what may be left to gain when the fit ends, as a part of what noise costs"
    )

    @model_validator(mode="after")
    def _without_contradiction(self) -> Self:
        void = {"samples", "odds", "seed"} if self.errors == "none" else set()
        if not self.sites:
            void |= {"least", "significance", "rounds"}
        if not self.angles:
            void |= {"angle_error"}
        if not self.shifts:
            void |= {"shift_error"}
        if not self.distortion:
            void |= {"distortion_error"}
        if given := sorted(void & self.model_fields_set):
            raise ValueError(f"without {', '.join(given)}, which nothing here uses")
        return self


def _forecast(inputs: InputSizes, params: ImagesParams) -> Forecast:
    atoms = inputs["atoms"][0].get("atom", 1)
    series = inputs["series"][0]
    tilts, rows, columns = (series.get(name, 1) for name in ("tilt", "y", "x"))
    pixels = tilts * rows * columns
    products = 20 * (params.rounds if params.sites else 2) + 200
    seconds = 2.0 + products * (tilts * atoms * 8e-7 + pixels * 6e-8)
    return Forecast({"atom": atoms, "axis": 3, "tilt": tilts}, 100_000_000 + pixels * 40 + atoms * tilts * 120, seconds)


@stage(
    "refine.images",
    takes={"atoms": ATOMS, "series": TILT_SERIES},
    gives=ATOMS,
    params=ImagesParams,
    version=1,
    forecast=_forecast,
)
def images(atoms: xr.Dataset, series: xr.Dataset, params: ImagesParams, *, device: str) -> xr.Dataset:
    """Fit atoms, angles, shifts and intensities jointly to the measured images.

    An image is background + scale * sum over atoms of height * P((x, y) - (p_x, p_y) - shift), with p = transpose(R) r
    and P a Gaussian of the atom's width, by default times f(q) / f(0) in Fourier space. All unknowns are fitted
    together by Fisher scoring for shifted Poisson counts, each step by conjugate gradients preconditioned with the
    information of each atom and of each image on its own.

    Some images are held out while sites are searched: atoms are taken away that explain less than `least` of an atom
    or are closer than `separation`, added where the residuals hold one with `significance`, and those that stand low
    among the others are taken out once to see whether the images ask for them again. Every change is an entry of the
    ledger, with R1 before and after it. Heights and widths become free only where that lowers the deviance of the
    held-out images, whose own poses and intensities alone are fitted. Atoms that stand low and without which the
    held-out images would be explained better are removed. At the end all images are fitted. Sites that a person added
    or accepted (`refine.edits`) stay; where one removed or rejected a site, none is added.

    `sigma` and `covariance` are those of each position after rigid alignment, from the Fisher matrix of all that is
    free at the noise that was found, widened by `excess`: by how much more than noise the images disagree about the
    atom. `exists` is the probability that the site is an atom, of the whole evidence with and without it; sites below
    one half are removed.

    A film fills the field of view and goes on beyond the atoms: with `extended`, only pixels count whose whole ray
    lies in the box of the atoms. Atoms that less than half of the images show on pixels that count, there and under a
    `mask`, stay as they are, without error bars; none are added there.

    `r1` is sum|model - image| / sum|image| of each image at the end; `r_free` of the held-out images, before they were
    used, as `r_work` of the others. `displacement` is how far each atom moved, NaN for added ones. The mean turn, the
    mean shift and the mean scale of all images are kept, for the images do not tell them.

    References
    ----------
    J. Lee et al., Nature Communications 12, 1962 (2021), doi:10.1038/s41467-021-22204-1 (refinement against images).
    """
    _require(atoms, series, params)
    reach = params.margin + 4.0
    problem = problem_of("refine.images", atoms, series, params.profile, params.width, reach, params.extended, device)
    scene, begin = problem.scene, problem.state
    if scene.seen is not None and not scene.seen.any():
        text, fix = "no pixel near the atoms that is trusted", "mask less, or leave extended false"
        raise InputError(Problem("refine.images: series", "mask", text, "pixels that show the atoms", fix))
    prior = Prior(turn=float(np.deg2rad(params.angle_error)), shift=params.shift_error, stretch=params.distortion_error)
    variance = _variance(series, problem)
    counts = series["image"].attrs["units"] == "count"
    gain = 1.0 if counts else _rough_gain(problem)
    darkest = _darkest(begin, gain)
    noise = Noise(gain, SOFT * gain - darkest, variance, darkest)
    level = _free(params, positions=False, angles=False)
    state = fit(scene, begin, replace(level, widths="fixed"), noise, Plan(rounds=3, inner=12), prior, begin).state
    state = fit(scene, state, level, noise, Plan(rounds=3, inner=12), prior, begin).state
    parts = split(len(scene.images), params.held_out if params.held_out < len(scene.images) // 2 else 0)
    work, unseen = scene.of_tilts(parts.work), scene.of_tilts(parts.free)
    told = decided(atoms)
    barred = told.barred - problem.centre
    start, known = state.of_tilts(parts.work), begin.of_tilts(parts.work)
    loose, expected = _loose(params, prior, heights(work, start, _of(noise, parts.work)))
    first = fit(work, start, loose, _of(noise, parts.work), Plan(4, 12, 0.1), expected, known)
    noise = _softened(_settled(noise, scene=work, fitted=first, unknowns=3 * len(begin.position), params=params))
    halves = _Halves(work, unseen, parts, state, begin)
    rules = Rules(
        params.least,
        params.significance,
        separation=params.separation,
        margin=params.margin,
        rounds=params.rounds if params.sites else 0,
    )

    def searched(start: State, free: Free, given: Prior) -> Found:
        fixed = atoms["atom"].values[told.kept]
        return search(work, start, _of(noise, parts.work), rules, free=free, prior=given, kept=fixed, barred=barred)

    def settled(fitted: Fitted) -> Noise:
        unknowns = len(choice.free.of_atom if choice else "xyz") * len(fitted.state.position)
        return _settled(noise, scene=work, fitted=fitted, unknowns=unknowns, params=params)

    choice: _Choice | None = None
    try:
        found = searched(first.state, loose, expected)
        ledger = list(found.ledger)
        noise = settled(found.fitted)
        choice = _chosen(params, halves, found.fitted, noise, prior)
        if choice.free != loose:
            noise = settled(choice.work)
            found = searched(choice.work.state, choice.free, choice.prior)
            ledger += [replace(one, round=one.round + params.rounds) for one in found.ledger]
            noise = settled(found.fitted)
            choice = halves.tried(choice.free, choice.prior, found.fitted.state, Plan(6, 20, params.tolerance), noise)
            noise = settled(choice.work)
    except NothingLeftError as error:
        wanted, fix = "atoms that the images show", "look at the angles, the pixel size and the place of the atoms"
        raise InputError(Problem("refine.images: atoms", "position", "no atom in the images", wanted, fix)) from error
    whole = joined(state, parts, choice.work.state)
    r_free = np.full(len(scene.images), np.nan)
    if parts.free.size:
        r_free[parts.free] = r_by_tilt(unseen, choice.judged.models)
        relative = heights(work, choice.work.state, _of(noise, parts.work))
        held = _of(noise, parts.free)
        whole, dropped = _without_unreal(whole, relative, choice, unseen, held, told.kept, atoms, params)
        ledger += dropped
    final = fit(scene, whole, choice.free, noise, Plan(12, 30, params.tolerance), choice.prior, begin)
    if final.left > 4 * params.tolerance:
        text = f"the fit ended with {final.left:.2g} of what noise costs left to gain"
        warnings.warn(text, AetxWarning, stacklevel=2)
    bars = _bars(problem, final, choice, noise, params)
    doubtful = np.flatnonzero((bars.exists < EVEN) & ~np.isin(final.state.number, atoms["atom"].values[told.kept]))
    if params.sites and doubtful.size:
        text, last = "less likely to be there than not", 2 * params.rounds + 2
        ledger += [_gone(final.state, i, text, last, float(bars.exists[i])) for i in map(int, doubtful)]
        rest = final.state.of_atoms(np.setdiff1d(np.arange(len(final.state.position)), doubtful))
        final = fit(scene, rest, choice.free, noise, Plan(6, 30, params.tolerance), choice.prior, begin)
        bars = _bars(problem, final, choice, noise, params)
    end = without_gauge(final.state, begin)
    made = refined(series, problem, end)
    one = {"units": "1"}
    made = made.assign(
        r1=("tilt", r_by_tilt(scene, final.models), one),
        r_free=("tilt", r_free, one),
        r_work=((), r_factor(work, choice.work.models), one),
        held_out=("tilt", np.isin(np.arange(len(r_free)), parts.free), one),
        gain=((), noise.gain if variance is None else np.nan, one),
        displacement=(("atom", "axis"), _displacement(made, atoms), {"units": "angstrom"}),
        flag=("atom", np.zeros(made.sizes["atom"], np.int32), one),
    )
    if params.errors != "none":
        made = made.assign_coords(axis2=["x", "y", "z"]).assign(_told(bars, choice))
    made.attrs["heights"], made.attrs["widths"] = choice.free.heights, choice.free.widths
    made = _carry_ledger(atoms, made)
    return continued(made, _entries(ledger, problem.centre, last_round(atoms)))


def _require(atoms: xr.Dataset, series: xr.Dataset, params: ImagesParams) -> None:
    number, count = np.unique(atoms["atom"].values, return_counts=True)
    if (count > 1).any():
        found, fix = f"{number[count > 1][0]} {count.max()} times", "number the atoms anew"
        raise InputError(Problem("refine.images: atoms", "atom", found, "each id once", fix))
    if series.sizes["tilt"] < 2:
        found, fix = f"{series.sizes['tilt']} image", "give a tilt series"
        raise InputError(Problem("refine.images: series", "tilt", found, "at least two images", fix))
    if params.noise == "poisson" and series["image"].attrs["units"] != "count":
        found = f"units {series['image'].attrs['units']!r}"
        raise InputError(Problem("refine.images: series", "image", found, "count", "set noise: estimated"))


def _free(params: ImagesParams, **further: Any) -> Free:
    """Return what is fitted before anything is known about heights and widths."""
    named = {
        name: "shared" if (value := getattr(params, name)) in ("auto", "each") else value
        for name in ("heights", "widths")
    }
    flags = {name: getattr(params, name) for name in ("angles", "shifts", "scale", "background", "distortion")}
    return Free(**{**flags, **named, **further})


def _loose(params: ImagesParams, prior: Prior, relative: F64) -> tuple[Free, Prior]:
    """Return what is fitted while sites are searched: heights of each atom, if they may, about as alike as they look.

    Heights that are held equal where they are not drive atoms from their places; heights that are held by nothing let
    false atoms live.
    """
    free = _free(params)
    if params.heights not in ("auto", "each"):
        return free, prior
    known = relative[np.isfinite(relative)]
    spread = 1.4826 * float(np.median(np.abs(known - np.median(known)))) if known.size else SPREADS[0]
    return replace(free, heights="each"), replace(prior, height=float(np.clip(spread, SPREADS[0], SPREADS[-1])))


def _variance(series: xr.Dataset, problem: Problem3D) -> Any:
    if "variance" not in series:
        return None
    rows, columns = problem.corner
    return series["variance"].transpose("tilt", "y", "x")[:, rows, columns].values.astype(np.float32)


def _rough_gain(problem: Problem3D) -> float:
    """Return a gain from the differences of neighbouring pixels, until residuals tell a better one."""
    values = problem.scene.images.astype(np.float64)
    rough = 0.25 * ((values[:, 1:, 1:] - values[:, 1:, :-1] - values[:, :-1, 1:] + values[:, :-1, :-1]) ** 2).mean()
    return float(max(rough, 1e-30) / max(np.abs(values).mean(), 1e-30))


def _of(noise: Noise, tilts: Any) -> Noise:
    return noise if noise.variance is None else replace(noise, variance=noise.variance[tilts])


def _settled(noise: Noise, *, scene: Any, fitted: Fitted, unknowns: int, params: ImagesParams) -> Noise:
    """Return the noise by which the fit ends."""
    if noise.variance is not None:
        return noise
    if params.noise == "poisson":
        return Noise(1.0, 0.02)
    return estimated(scene, fitted.models, unknowns, _darkest(fitted.state, noise.gain))


def _darkest(state: State, gain: float) -> float:
    """Return the mean of the darkest pixels where more background was taken off than noise explains, else 0."""
    lowest = float(state.background.min())
    return lowest if lowest < -SOFT * gain else 0.0


def _softened(noise: Noise) -> Noise:
    """Return the noise for the time while sites are searched."""
    return replace(noise, offset=max(noise.offset, SOFT * noise.gain - noise.least))


@dataclass(frozen=True)
class _Choice:
    """What held-out images prefer, with the fits of both parts."""

    free: Free
    prior: Prior
    work: Fitted
    judged: Fitted


@dataclass(frozen=True)
class _Halves:
    """Images that are fitted, images that are held out, and what is known of both before the fit."""

    work: Scene
    unseen: Scene
    parts: Split
    state: State
    begin: State

    def tried(self, free: Free, known: Prior, start: State, plan: Plan, noise: Noise) -> _Choice:
        """Fit the one half, and then the poses and intensities of the other to the atoms that were found."""
        one = fit(
            self.work, start, free, _of(noise, self.parts.work), plan, known, self.begin.of_tilts(self.parts.work)
        )
        if not self.parts.free.size:
            return _Choice(free, known, one, one)
        names = ("turned", "shift", "scale", "background", "stretch")
        held = replace(one.state, **{name: getattr(self.state, name)[self.parts.free] for name in names})
        begin = self.begin.of_tilts(self.parts.free)
        return _Choice(free, known, one, judged(self.unseen, held, free, _of(noise, self.parts.free), known, begin))

    def better(self, one: _Choice, other: _Choice, noise: Noise) -> bool:
        """Tell whether held-out images are explained better than before by more than chance."""
        chance = 0.0
        for tilt, (before, after) in enumerate(zip(one.judged.models, other.judged.models, strict=True)):
            held = _of(noise, self.parts.free)
            weight = held.weight(tilt, before, self.unseen.trusted(tilt)).astype(np.float64)
            chance += float((weight * (before - after) ** 2).sum())
        return one.judged.deviance - other.judged.deviance > CHANCE * 2.0 * chance**0.5


def _chosen(params: ImagesParams, halves: _Halves, fitted: Fitted, noise: Noise, prior: Prior) -> _Choice:
    """Fit with ever more freedom, and keep each only where the deviance of held-out images falls beyond chance."""
    plan, short = Plan(6, 20, params.tolerance), Plan(2, 10, params.tolerance)
    best = halves.tried(_free(params), prior, _alike(fitted.state, params), plan, noise)
    begun = fitted.state
    for name in ("heights", "widths"):
        wish = getattr(params, name)
        if wish == "each":
            best = halves.tried(_freed(best.free, name), best.prior, best.work.state, plan, noise)
        elif wish == "auto" and halves.parts.free.size:
            for spread in SPREADS:
                known = replace(best.prior, **{name[:-1]: spread})
                other = halves.tried(_freed(best.free, name), known, begun, short, noise)
                if not halves.better(best, other, noise):
                    break
                best, begun = other, other.work.state
        begun = best.work.state
    return best


def _alike(state: State, params: ImagesParams) -> State:
    """Return the state with the heights, and the widths, of each sort made one where they are not known to differ."""
    if params.heights in ("auto", "each"):
        state = replace(state, height=median_of_sort(state.height, state.sort))
    if params.widths in ("auto", "each"):
        state = replace(state, width=median_of_sort(state.width, state.sort))
    return state


def _freed(free: Free, name: str) -> Free:
    return replace(free, heights="each") if name == "heights" else replace(free, widths="each")


def _without_unreal(
    whole: State,
    relative: F64,
    choice: _Choice,
    unseen: Any,
    noise: Noise,
    kept: Any,
    atoms: xr.Dataset,
    params: ImagesParams,
) -> tuple[State, list[Entry]]:
    """Take away the atoms that explain little of the fitted images, and of the held-out ones less than nothing."""
    if not params.sites:
        return whole, []
    rise = gain_of_atoms(unseen, choice.judged.state, choice.judged.models, noise)
    fixed = np.isin(whole.number, atoms["atom"].values[kept])
    unreal = np.flatnonzero((rise < 0) & low(relative, DOUBT) & ~fixed)
    text = "stands low among the others, and held-out images are explained better without it"
    dropped = [_gone(whole, i, text, 2 * params.rounds + 1, float(rise[i])) for i in map(int, unreal)]
    return whole.of_atoms(np.setdiff1d(np.arange(len(rise)), unreal)), dropped


def _bars(problem: Problem3D, final: Fitted, choice: _Choice, noise: Noise, params: ImagesParams) -> ErrorBars:
    """Return the error bars of atoms; NaN where none are wanted, or the images do not determine them."""
    scene, shown = problem.scene, problem.scene.shown(final.state)
    unknown = np.full(int(shown.sum()), np.nan)
    none = Excess(np.full(len(scene.images), np.nan), unknown, unknown)
    found = ErrorBars(np.full((unknown.size, 3, 3), np.nan), unknown, unknown, unknown, none)
    if params.errors != "none":
        weight = np.stack([noise.weight(i, one, scene.trusted(i)) for i, one in enumerate(final.models)])
        linear = Linear(scene, final.state.of_atoms(shown), choice.free, weight, choice.prior)
        residuals, profile = scene.images - final.models, (problem.weight, problem.spread)
        whole, space = params.errors == "exact", params.separation**3
        try:
            found = error_bars(linear, residuals, *profile, whole, params.samples, params.seed, space, params.odds)
        except UndeterminedError as error:
            warnings.warn(f"no standard errors: {error}", AetxWarning, stacklevel=2)

    def every(values: F64) -> F64:
        made = np.full((len(shown), *values.shape[1:]), np.nan)
        made[shown] = values
        return made

    excess = Excess(found.excess.tilts, every(found.excess.atoms), every(found.excess.raw))
    return ErrorBars(every(found.covariance), every(found.height), every(found.width), every(found.exists), excess)


def _told(bars: ErrorBars, choice: _Choice) -> dict[str, tuple[Any, ...]]:
    """Return error bars as variables."""
    one, length = {"units": "1"}, {"units": "angstrom"}
    made: dict[str, tuple[Any, ...]] = {
        "covariance": (("atom", "axis", "axis2"), bars.covariance, {"units": "angstrom**2"}),
        "sigma": (("atom", "axis"), np.sqrt(np.einsum("naa->na", bars.covariance)), length),
        "exists": ("atom", bars.exists, one),
        "excess": ("atom", bars.excess.atoms, one),
        "excess_tilt": ("tilt", bars.excess.tilts, one),
    }
    if choice.free.heights == "each":
        made["sigma_height"] = ("atom", bars.height, one)
    if choice.free.widths == "each":
        made["sigma_width"] = ("atom", bars.width, length)
    return made


def _gone(state: State, i: int, reason: str, number: int, score: float) -> Entry:
    x, y, z = map(float, state.position[i])
    return Entry("removed", reason, number, int(state.number[i]), (x, y, z), score)


def _displacement(made: xr.Dataset, atoms: xr.Dataset) -> F64:
    """Return how far each atom is from where it began, NaN for those that were not there."""
    order = {int(number): i for i, number in enumerate(atoms["atom"].values)}
    before = atoms["position"].sel(axis=["x", "y", "z"]).transpose("atom", "axis").values
    moved = np.full(made["position"].shape, np.nan)
    for i, number in enumerate(made["atom"].values):
        if int(number) in order:
            moved[i] = made["position"].values[i] - before[order[int(number)]]
    return moved


def _carry_ledger(atoms: xr.Dataset, made: xr.Dataset) -> xr.Dataset:
    old = [name for name, one in atoms.data_vars.items() if "entry" in one.dims]
    return made.assign({name: atoms[name] for name in old})


def _entries(ledger: list[Entry], centre: F64, before: int) -> xr.Dataset:
    """Return the entries of the ledger in the frame of the specimen."""
    place = np.reshape([one.position for one in ledger], (-1, 3)).astype(np.float64) + centre
    made = entries(
        np.array([one.action for one in ledger], np.str_),
        np.array([one.reason for one in ledger], np.str_),
        np.array([one.number for one in ledger], np.int64),
        place,
        np.array([one.score for one in ledger], np.float64),
        0,
    )
    one = {"units": "1"}
    return made.assign(
        ledger_round=("entry", np.array([before + entry.round for entry in ledger], np.int32), one),
        ledger_r_before=("entry", np.array([entry.r_before for entry in ledger], np.float64), one),
        ledger_r_after=("entry", np.array([entry.r_after for entry in ledger], np.float64), one),
    )
