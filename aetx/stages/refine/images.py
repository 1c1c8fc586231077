"""Atoms, angles and shifts fitted to the measured images, and sites that come and go by what the images say."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Literal, Self

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field, model_validator

from aetx.core import Forecast, InputSizes, Length, stage
from aetx.core.edits import Decided, decided
from aetx.core.image_fit import SOFT, ImageFitParams, darkest, first_noise, require_images
from aetx.core.model_images import Problem3D, problem_of, refined
from aetx.core.refined_atoms import displacement, with_error_bars, with_ledger
from aetx.errors import AetxWarning, InputError, Problem
from aetx.kernels.bound import UndeterminedError
from aetx.kernels.freedom import LONG, Choice, Freedom, Halves, begun, brightened, chosen, loose
from aetx.kernels.held_out import estimated, gain_of_atoms, joined, split
from aetx.kernels.model_error import ErrorBars, Excess, error_bars
from aetx.kernels.refinement import F64, KEPT, Fitted, Free, Linear, Noise, Plan, Prior, State, fit, without_gauge
from aetx.kernels.site_doubt import low, lowest
from aetx.kernels.site_growth import Entry, Rules
from aetx.kernels.site_search import Found, NothingLeftError, heights, r_by_tilt, r_factor, search
from aetx.model import ATOMS, TILT_SERIES

DOUBT = 2.5
"""How far below the usual height, in robust standard deviations, an atom stands whom held-out images may overrule."""
ENOUGH = 50_000
"""Atoms times images for which a thread more pays: with fewer, threads wait for each other."""
EVEN = 0.5
"""Probability below which a site is no atom."""


class ImagesParams(ImageFitParams):
    """Parameters of `images`."""

    angles: bool = Field(True, description="fit the three angles of each image")
    shifts: bool = Field(True, description="fit the shift of each image")
    scale: bool = Field(True, description="fit the intensity scale of each image")
    background: bool = Field(True, description="fit a constant background of each image")
    distortion: bool = Field(False, description="fit stretch and shear of each image in its plane")
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
    sites: bool = Field(True, description="add, merge and remove atoms by what the images say")
    least: float = Field(0.5, gt=0, lt=1, description="height below which a site is no atom, over the usual height")
    significance: float = Field(3.0, ge=2, le=100, description="least score of a new site over its standard deviation")
    separation: Length = Field(1.6, gt=0, le=10, description="least distance of two atoms")
    margin: Length = Field(3.0, ge=0, le=100, description="how far beyond the outermost atoms new ones are looked for")
    held_out: int = Field(3, ge=0, le=1000, description="images held out to judge sites and freedom; 0 for none")
    errors: Literal["drawn", "exact", "none"] = Field(
        "drawn", description="standard errors from random errors of the same fit, from the whole Fisher matrix, or none"
    )
    samples: int = Field(2, ge=2, le=10_000, description="random errors of the same fit that are drawn")
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
    products = 8 * (params.rounds if params.sites else 2) + 80
    seconds = 2.0 + products * (tilts * atoms * 8e-7 + pixels * 3e-8)
    memory = 100_000_000 + pixels * 60 + (atoms * tilts + min(atoms * tilts, KEPT)) * 600
    return Forecast({"atom": atoms, "axis": 3, "tilt": tilts}, memory, seconds)


@stage(
    "refine.images",
    takes={"atoms": ATOMS, "series": TILT_SERIES},
    gives=ATOMS,
    params=ImagesParams,
    version=5,
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
    or close among the others are taken out once to see whether the images ask for them again. Every change is an entry
    of the ledger, with R1 before and after it. Heights and widths become free only where that lowers the deviance of
    the held-out images, whose own poses and intensities alone are fitted. Atoms that stand low and without which the
    held-out images would be explained better are removed, unless all images together prove them. At the end all images
    are fitted. Sites that a person added or accepted (`refine.edits`) stay; where one removed or rejected a site, none
    is added.

    `sigma` and `covariance` are those of each position after rigid alignment, from the Fisher matrix of all that is
    free at the noise that was found, widened by `excess`: by how much more than noise the images disagree about the
    atom. `exists` is the probability that the site is an atom, of the whole evidence with and without it; sites below
    one half are removed, of those next to each other the least likely.

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
    pays = problem.scene.images.shape[0] * atoms.sizes["atom"] // ENOUGH
    scene = replace(problem.scene, workers=max(1, min(problem.scene.workers, pays)))
    problem = replace(problem, scene=scene)
    if scene.seen is not None and not scene.seen.any():
        text, fix = "no pixel near the atoms that is trusted", "mask less, or leave extended false"
        raise InputError(Problem("refine.images: series", "mask", text, "pixels that show the atoms", fix))
    work = _Refinement(params, problem, decided(atoms), first_noise(series, problem))
    try:
        choice = work.searched()
        final, bars = work.ended(choice)
    except NothingLeftError as error:
        wanted, fix = "atoms that the images show", "look at the angles, the pixel size and the place of the atoms"
        raise InputError(Problem("refine.images: atoms", "position", "no atom in the images", wanted, fix)) from error
    made = refined(series, problem, without_gauge(final.state, problem.state))
    held_out = np.isin(np.arange(len(scene.images)), work.parts.free)
    r_free = np.full(len(scene.images), np.nan)
    if held_out.any():
        r_free[held_out] = r_by_tilt(work.unseen, choice.judged.models)
    one = {"units": "1"}
    made = made.assign(
        r1=("tilt", r_by_tilt(scene, final.models), one),
        r_free=("tilt", r_free, one),
        r_work=((), r_factor(work.seen, choice.work.models), one),
        held_out=("tilt", held_out, one),
        gain=((), work.noise.gain if work.noise.variance is None else np.nan, one),
        displacement=(("atom", "axis"), displacement(made, atoms), {"units": "angstrom"}),
        flag=("atom", np.zeros(made.sizes["atom"], np.int32), one),
    )
    if params.errors != "none":
        made = with_error_bars(made, bars, choice.free)
    made.attrs["heights"], made.attrs["widths"] = choice.free.heights, choice.free.widths
    return with_ledger(made, atoms, work.ledger, problem.centre)


def _require(atoms: xr.Dataset, series: xr.Dataset, params: ImagesParams) -> None:
    number, count = np.unique(atoms["atom"].values, return_counts=True)
    if (count > 1).any():
        found, fix = f"{number[count > 1][0]} {count.max()} times", "number the atoms anew"
        raise InputError(Problem("refine.images: atoms", "atom", found, "each id once", fix))
    require_images("refine.images", series, params)


class _Refinement:
    """A refinement on its way: what was asked, what is known by now, and what was done to the sites."""

    def __init__(self, params: ImagesParams, problem: Problem3D, told: Decided, noise: Noise) -> None:
        self.params, self.problem, self.noise = params, problem, noise
        self.scene, self.begin = problem.scene, problem.state
        count = len(self.scene.images)
        self.parts = split(count, params.held_out if params.held_out < count // 2 else 0)
        self.seen, self.unseen = (self.scene.of_tilts(part) for part in (self.parts.work, self.parts.free))
        self.kept, self.barred = self.begin.number[told.kept], told.barred - problem.centre
        self.ledger: list[Entry] = []
        self.free = Free(params.angles, params.shifts, params.scale, params.background, params.distortion)
        self.wishes: dict[str, Freedom] = {"heights": params.heights, "widths": params.widths}
        self.prior = Prior(
            turn=float(np.deg2rad(params.angle_error)), shift=params.shift_error, stretch=params.distortion_error
        )
        self.state = brightened(self.scene, self.begin, begun(self.free, self.wishes), self.noise, self.prior)

    def searched(self) -> Choice:
        """Return atoms that the fitted images show, as free as the held-out images allow."""
        start, tolerance = self.state.of_tilts(self.parts.work), self.params.tolerance
        begin, noise = self.begin.of_tilts(self.parts.work), self.noise.of_tilts(self.parts.work)
        free, known = loose(self.free, self.wishes, self.prior)
        first = fit(self.seen, start, free, noise, Plan(4, 12, 0.1), known, begin)
        free, known = loose(self.free, self.wishes, self.prior, heights(self.seen, first.state, noise))
        self._settle(first, 3)
        self.noise = replace(self.noise, offset=max(self.noise.offset, SOFT * self.noise.gain - self.noise.least))
        found = self._search(first.state, free, known, 0)
        self._settle(found.fitted, 3)
        halves = Halves(self.seen, self.unseen, self.parts, self.state, self.begin)
        choice = chosen(halves, found.fitted, self.free, self.wishes, self.noise, self.prior, tolerance)
        if (choice.free, choice.prior) == (free, known):
            return choice
        unknowns = len(choice.free.of_atom)
        self._settle(choice.work, unknowns)
        found = self._search(choice.work.state, choice.free, choice.prior, self.params.rounds, choice.work)
        self._settle(found.fitted, unknowns)
        plan = replace(LONG, tolerance=tolerance)
        choice = halves.tried(choice.free, choice.prior, found.fitted.state, plan, self.noise)
        self._settle(choice.work, unknowns)
        return choice

    def ended(self, choice: Choice) -> tuple[Fitted, ErrorBars]:
        """Return the fit of all images, with their error bars, by the atoms that are real."""
        whole, tolerance = joined(self.parts, choice.work.state, choice.judged.state), self.params.tolerance
        if self.params.sites and self.parts.free.size:
            unreal, rise = self._unreal(choice)
            text = "stands low among the others, and held-out images are explained better without it"
            whole = self._without(whole, unreal, text, 2 * self.params.rounds + 1, rise)
        final = fit(self.scene, whole, choice.free, self.noise, Plan(12, 30, tolerance), choice.prior, self.begin)
        if final.left > 4 * tolerance:
            text = f"the fit ended with {final.left:.2g} of what noise costs left to gain"
            warnings.warn(text, AetxWarning, stacklevel=3)
        bars = self._bars(final, choice)
        doubtful = bars.exists < EVEN
        if self.params.sites and doubtful.any():
            text, last = "less likely to be there than not", 2 * self.params.rounds + 2
            gone = np.zeros(len(doubtful), bool)
            gone[lowest(final.state.position, bars.exists, doubtful, self.params.separation)] = True
            rest = self._without(final.state, gone, text, last, bars.exists)
            final = fit(self.scene, rest, choice.free, self.noise, Plan(6, 30, tolerance), choice.prior, self.begin)
            bars = self._bars(final, choice)
        return final, bars

    def _settle(self, fitted: Fitted, unknowns: int) -> None:
        """Take the noise from what a fit with a number of unknowns for each atom leaves over, if it is not known."""
        if self.noise.variance is not None:
            return
        if self.params.noise == "poisson":
            self.noise = Noise(1.0, 0.02)
            return
        least = darkest(fitted.state, self.noise.gain)
        self.noise = estimated(self.seen, fitted.models, unknowns * len(fitted.state.position), least)

    def _search(self, start: State, free: Free, known: Prior, rounds: int, fitted: Fitted | None = None) -> Found:
        """Return sites that the fitted images ask for, and note what was done after a number of rounds."""
        rules = Rules(
            self.params.least,
            self.params.significance,
            separation=self.params.separation,
            margin=self.params.margin,
            rounds=self.params.rounds if self.params.sites else 0,
        )
        noise = self.noise.of_tilts(self.parts.work)
        found = search(
            self.seen, start, noise, rules, fitted=fitted, free=free, prior=known, kept=self.kept, barred=self.barred
        )
        self.ledger += [replace(one, round=one.round + rounds) for one in found.ledger]
        return found

    def _unreal(self, choice: Choice) -> tuple[NDArray[np.bool_], F64]:
        """Tell which atoms the held-out images deny and the others do not prove, and what they say of each."""
        noise, held = self.noise.of_tilts(self.parts.work), self.noise.of_tilts(self.parts.free)
        relative = heights(self.seen, choice.work.state, noise)
        shown = gain_of_atoms(self.seen, choice.work.state, choice.work.models, noise)
        rise = gain_of_atoms(self.unseen, choice.judged.state, choice.judged.models, held)
        proven = shown + rise >= self.params.significance**2
        return (rise < 0) & low(relative, choice.work.state.sort, DOUBT) & ~proven, rise

    def _without(self, state: State, gone: NDArray[np.bool_], reason: str, number: int, score: F64) -> State:
        """Return the state without some atoms, those that a person keeps excepted, and note why they went."""
        gone = gone & ~np.isin(state.number, self.kept)
        for i in map(int, np.flatnonzero(gone)):
            x, y, z = map(float, state.position[i])
            self.ledger.append(Entry("removed", reason, number, int(state.number[i]), (x, y, z), float(score[i])))
        if gone.all():
            raise NothingLeftError
        return state.of_atoms(np.flatnonzero(~gone))

    def _bars(self, final: Fitted, choice: Choice) -> ErrorBars:
        """Return the error bars of atoms; NaN where none are wanted, or the images do not determine them."""
        scene, params, shown = self.scene, self.params, self.scene.shown(final.state)
        unknown = np.full(int(shown.sum()), np.nan)
        none = Excess(np.full(len(scene.images), np.nan), unknown, unknown)
        found = ErrorBars(np.full((unknown.size, 3, 3), np.nan), unknown, unknown, unknown, none)
        if params.errors != "none":
            weight = np.stack([self.noise.weight(i, one, scene.trusted(i)) for i, one in enumerate(final.models)])
            linear = Linear(scene, final.state.of_atoms(shown), choice.free, weight, choice.prior)
            residuals, profile = scene.images - final.models, (self.problem.weight, self.problem.spread)
            whole, space = params.errors == "exact", params.separation**3
            try:
                found = error_bars(linear, residuals, *profile, whole, params.samples, params.seed, space, params.odds)
            except UndeterminedError as error:
                warnings.warn(f"no standard errors: {error}", AetxWarning, stacklevel=4)

        def every(values: F64) -> F64:
            made = np.full((len(shown), *values.shape[1:]), np.nan)
            made[shown] = values
            return made

        excess = Excess(found.excess.tilts, every(found.excess.atoms), every(found.excess.raw))
        return ErrorBars(every(found.covariance), every(found.height), every(found.width), every(found.exists), excess)
