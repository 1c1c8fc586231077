"""Which traced sites are atoms, by how bright they are."""

from __future__ import annotations

import warnings
from functools import partial
from typing import Any, Literal, NamedTuple, Self

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field, model_validator

from aetx.core import Forecast, InputSizes, Length, optional, stage
from aetx.core.brightness import REJECTED, BoxParams, Brightness, brightness, brightness_forecast, indices
from aetx.core.edits import decided
from aetx.core.halo import Box
from aetx.core.ledger import continued, entries, last_round
from aetx.core.peaks import Blocks
from aetx.errors import AetxWarning, InputError, Problem
from aetx.kernels import boxes, clustering
from aetx.kernels import support as outline
from aetx.model import ATOMS, VOLUME

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
Flags = NDArray[np.bool_]

SUPPORT = ("support_smoothing", "support_threshold", "support_volume", "support_closing", "support_margin")
OUTSIDE, INSIDE = "outside the support", "faint, but within the support"


class AtomsParams(BoxParams):
    """Parameters of `atoms`."""

    method: Literal["two_step", "templates", "mixture"] = Field(
        "two_step",
        description="k-means and then boxes against the mean box of the faintest species, boxes against mean boxes and "
        "zero, or a mixture of normal distributions",
    )
    species: int = Field(1, ge=1, le=8, description="species of different brightness that the atoms are of")
    scale: Literal["linear", "logarithmic"] = Field(
        "linear", description="for mixture: intensities, or their logarithms"
    )
    distinct: float = Field(
        2.0,
        ge=0,
        le=100,
        description="for mixture: least difference of the means of non-atoms and atoms over their standard deviation",
    )
    rounds: int = Field(100, ge=1, le=10_000, description="for templates: most rounds with new means")
    keep: Literal["atoms", "all"] = Field("atoms", description="drop what is rejected, or keep it with the flag 64")
    support: bool = Field(
        False, description="also reject what lies outside the specimen, and keep all that lies within it"
    )
    support_smoothing: Length = Field(3.1, gt=0, le=100, description="edge of the cube over which density is averaged")
    support_threshold: float = Field(0.9, gt=0, le=10, description="least averaged density, over Otsu's threshold")
    support_volume: float = Field(2000.0, ge=0, le=1e12, description="least volume of a piece, cubic angstrom")
    support_closing: Length = Field(5.2, ge=0, le=1000, description="half the width of gaps that are closed")
    support_margin: Length = Field(1.7, ge=0, le=1000, description="how far beyond the specimen an atom may be")

    @model_validator(mode="after")
    def _without_contradiction(self) -> Self:
        void = {"scale", "distinct"} if self.method != "mixture" else set()
        void |= {"rounds"} if self.method != "templates" else set()
        if given := sorted(void & self.model_fields_set):
            raise ValueError(f"without {', '.join(given)}, which method: {self.method} does not use")
        if not self.support and (given := sorted(set(SUPPORT) & self.model_fields_set)):
            raise ValueError(f"{', '.join(given)} need support: true")
        return self


def _forecast(inputs: InputSizes, params: AtomsParams) -> Forecast:
    told = brightness_forecast(inputs, params)
    seconds = told.seconds * (2 if params.support else 1) + 2e-5 * told.sizes["atom"] * params.species
    return Forecast(told.sizes, memory=told.memory * 2, seconds=seconds)


@stage(
    "classify.atoms",
    takes={"atoms": ATOMS, "volume": optional(VOLUME)},
    gives=ATOMS,
    params=AtomsParams,
    version=1,
    flow="halo",
    forecast=_forecast,
)
def atoms(atoms: xr.Dataset, volume: xr.Dataset | None, params: AtomsParams, memory: int | None = None) -> xr.Dataset:
    """Sites that are atoms, with the probability that they are; what is rejected is in the ledger.

    With a volume, cubic splines give the density on a lattice centred at each site, finer than the voxels; the ball
    inscribed in that box is used, and `intensity` becomes its integral. Without a volume, the box is one number: the
    `intensity` that the sites have, as from a fit to images. The first two methods begin with the partition of the
    intensities into `species` + 1 classes with the least sum of squares (k-means, the optimum itself).

    - `two_step`: the mean box of the faintest but one is taken, with the constant below the Gaussian that fits it; an
      atom is what differs more from the constant than from the mean box, by absolute differences;
    - `templates`: each box goes to the nearest of zero and the mean boxes of the other classes, by absolute
      differences, until none changes; an atom is what does not go to zero;
    - `mixture`: normal distributions are fitted, as many as there are species, and one more; the Bayesian information
      criterion chooses, and the faintest of one more is that of non-atoms where it is `distinct` from the next. An atom
      is what more probably belongs to another.

    `exists` is one minus the posterior of the faintest distribution: of the mixture, or of those that have the means,
    deviations and shares of the classes found; 1 where nothing is rejected. By its intensity alone a faint atom of the
    surface cannot be told from a bright peak of noise. `support` then rejects sites outside a loose support and keeps
    those within a tight one, whatever their intensity: Otsu's threshold of the averaged density, without small pieces
    and with gaps closed. `ledger_score` is the intensity over the mean of the atoms kept. A site whose intensity is
    not known, or that a person added or accepted (`refine.edits`), is kept. Computes; the volume is read in blocks.

    References
    ----------
    Y. Yang et al., Nature 592, 60 (2021), doi:10.1038/s41586-021-03354-0, Methods, and the code published with it.
    """
    if params.support and volume is None:
        problem = Problem("classify.atoms", "volume", "none", "a volume", "give the volume, or set support: false")
        raise InputError(problem)
    bright = brightness("classify.atoms", atoms, volume, params, memory)
    known = np.isfinite(bright.intensity)
    if not known.all():
        text = f"{int((~known).sum())} atoms have no intensity: they are kept"
        warnings.warn(text, AetxWarning, stacklevel=2)
    found = _found(bright, known, params)
    accepted, reason = found.accepted.copy(), np.full(known.size, found.reason, dtype=object)
    if params.support and volume is not None:
        tight, loose = _within(volume, bright.position, params, memory)
        accepted = (accepted | tight) & loose
        reason[~loose] = OUTSIDE
        reason[found.accepted != accepted] = np.where(loose, INSIDE, OUTSIDE)[found.accepted != accepted]
    accepted |= decided(atoms).kept
    if not accepted.any():
        warnings.warn("classify.atoms rejects all sites", AetxWarning, stacklevel=2)
    return _table(atoms, bright, found, accepted, reason, params)


class _Found(NamedTuple):
    """Which sites are atoms by their brightness, how probably, the least intensity of one, and why others are not."""

    accepted: Flags
    exists: F64
    threshold: float
    reason: str


def _found(bright: Brightness, known: Flags, params: AtomsParams) -> _Found:
    accepted, exists = np.ones(known.size, bool), np.full(known.size, np.nan)
    values, cut = bright.intensity[known], bright.boxes[known]
    if np.unique(values).size <= params.species + 1:  # too few to tell
        exists[known] = 1.0
        return _Found(accepted, exists, np.nan, "")
    if params.method == "mixture":
        chosen = np.ones(values.size)
        threshold, text = _mixture(values, chosen, params), "faint: more probably of the non-atoms"
        accepted[known], exists[known] = chosen >= 0.5, chosen
        return _Found(accepted, exists, threshold, text)
    labels = clustering.k_means(values, params.species + 1)
    if params.method == "two_step":
        template = boxes.means(cut, labels, params.species + 1)[1]
        constant = np.full(template.shape, boxes.background(template, bright.points))
        real = boxes.distances(cut, constant) > boxes.distances(cut, template)
        text = "nearer to the background than to the mean atom"
    else:
        labels, settled = boxes.by_template(cut, labels, params.species + 1, True, params.rounds)
        if not settled:
            warnings.warn("the templates were still changing at the end", AetxWarning, stacklevel=3)
        real, text = labels > 0, "nearer to nothing than to a mean atom"
    threshold = np.nan
    exists[known] = 1.0
    if real.any() and not real.all():
        parts = min(params.species, np.unique(values[real]).size)
        classes = np.zeros(values.size, np.int64)
        classes[real] = 1 + clustering.k_means(values[real], parts)
        fitted = clustering.described(values, classes, parts + 1)
        exists[known] = clustering.above_lowest(values, fitted)
        threshold = float(clustering.thresholds(fitted)[0])
    accepted[known] = real
    return _Found(accepted, exists, threshold, text)


def _mixture(values: F64, exists: F64, params: AtomsParams) -> float:
    """Set the probability to be an atom, and return the intensity above which it is that."""
    scaled = values
    if params.scale == "logarithmic":
        with np.errstate(invalid="ignore", divide="ignore"):
            scaled = np.log(values)
        exists[values <= 0] = 0.0
    used = np.isfinite(scaled)
    few, more = (
        clustering.likeliest(scaled[used], clustering.starts(values[used], parts), parts)
        for parts in (params.species, params.species + 1)
    )
    count = int(used.sum())
    worth = clustering.criterion(more, count) < clustering.criterion(few, count)
    if not worth or clustering.distinctness(more) < params.distinct:
        return 0.0 if not used.all() else np.nan
    exists[used] = clustering.above_lowest(scaled[used], more)
    least = float(clustering.thresholds(more)[0])
    return float(np.exp(least)) if params.scale == "logarithmic" else least


def _within(volume: xr.Dataset, position: F64, params: AtomsParams, memory: int | None) -> tuple[Flags, Flags]:
    """Tell which sites lie in the tight and in the loose support."""
    blocks = Blocks.of(volume, memory)
    half = np.rint((params.support_smoothing / blocks.steps - 1) / 2).astype(np.int64).clip(0)
    every = np.clip((2 * half + 1) // 3, 1, blocks.shape)
    work = partial(_averaged, every=every, half=half)
    grid = [outline.centres(size, int(step)) for size, step in zip(blocks.shape, every, strict=True)]
    coarse = np.zeros([one.size for one in grid], np.float32)
    for first, part in blocks.tables(work, int(half.max())):
        coarse[tuple(slice(a, a + n) for a, n in zip(first, part.shape, strict=True))] = part
    limits = params.support_volume, params.support_closing, params.support_margin
    tight, loose = outline.supports(coarse, blocks.steps * every, params.support_threshold, *limits)
    if not tight.any():
        text = f"no piece of the volume is as large as support_volume, {params.support_volume:g} cubic angstrom"
        warnings.warn(text, AetxWarning, stacklevel=3)
    place = (indices("classify.atoms", volume, position) - every // 2) / every
    nearest = tuple(np.clip(np.rint(place).astype(np.int64), 0, np.array(coarse.shape) - 1).T)
    return tight[nearest], loose[nearest]


def _averaged(block: NDArray[Any], box: Box, outer: Box, *, every: I64, half: I64) -> tuple[I64, F32]:
    low, high = np.array(box).T
    part = outline.averaged(np.asarray(block, np.float32), np.array(outer)[:, 0], low, high, every, half)
    return -(-(low - every // 2) // every), part


def _table(
    given: xr.Dataset, bright: Brightness, found: _Found, accepted: Flags, reason: NDArray[Any], params: AtomsParams
) -> xr.Dataset:
    one, unit = {"units": "1"}, {"units": bright.units}
    mean = float(np.nanmean(bright.intensity[accepted])) if np.isfinite(bright.intensity[accepted]).any() else np.nan
    told = np.flatnonzero(~accepted | (reason == INSIDE))
    new = entries(
        np.where(accepted, "kept", "removed")[told],
        reason[told].astype(np.str_),
        given["atom"].values[told],
        bright.position[told],
        bright.intensity[told] / mean,
        last_round(given) + 1,
    )
    flag = given["flag"].values & ~REJECTED if "flag" in given else np.zeros(accepted.size, np.int64)
    made = given.drop_dims("boundary", errors="ignore").assign(
        intensity=("atom", bright.intensity.astype(np.float32), unit),
        exists=("atom", found.exists.astype(np.float32), one),
        flag=("atom", (flag | np.where(accepted, 0, REJECTED)).astype(np.int32), one),
        threshold=("boundary", np.array([found.threshold]), unit),
    )
    made = continued(made, new)
    return made if params.keep == "all" else made.isel(atom=np.flatnonzero(accepted))
