"""Which atoms the images support, and which only the filter of the volume does."""

from __future__ import annotations

import warnings

import numpy as np
import xarray as xr
from pydantic import Field

from aetx.core import Forecast, InputSizes, Length, stage
from aetx.core.image_fit import ImageFitParams, first_noise, require_images
from aetx.core.ledger import continued, entries, last_round
from aetx.core.model_images import problem_of
from aetx.errors import AetxWarning
from aetx.kernels.atom_support import asked, supported
from aetx.kernels.refinement import Prior
from aetx.model import ATOMS, TILT_SERIES, positions

REASON = "the images do not support it"
"""Why an atom is left out, in the words of the ledger."""
EVEN = 0.5
"""Probability below which an atom is not supported."""
AROUND = 4.0
"""How far around the atoms the images are looked at, angstrom."""


class SupportParams(ImageFitParams):
    """Parameters of `support`."""

    reach: Length = Field(1.0, gt=0, le=5, description="how far from where it was found the images may hold an atom")
    significance: float = Field(
        5.0, ge=0, le=100, description="least height of the usual atom over its standard error for images to tell any"
    )
    odds: float = Field(1.0, gt=0, le=1e9, description="odds that an atom is real, before the images are seen")
    remove: bool = Field(False, description="leave out the atoms that are not supported")
    seed: int = Field(0, ge=0, lt=2**63, description="seed of the empty places and of the random errors")


def _forecast(inputs: InputSizes, _: SupportParams) -> Forecast:
    atoms, series = inputs["atoms"][0].get("atom", 1), inputs["series"][0]
    tilts, rows, columns = (series.get(name, 1) for name in ("tilt", "y", "x"))
    pixels = tilts * rows * columns
    seconds = 1.0 + 150 * (tilts * atoms * 8e-7 + pixels * 6e-8)
    memory = 50_000_000 + pixels * 40 + atoms * (tilts * 170 + 4000)
    return Forecast({"atom": atoms, "axis": 3, "tilt": tilts}, memory, seconds)


@stage(
    "measure.support",
    takes={"atoms": ATOMS, "series": TILT_SERIES},
    gives=ATOMS,
    params=SupportParams,
    version=3,
    forecast=_forecast,
)
def support(atoms: xr.Dataset, series: xr.Dataset, params: SupportParams, *, device: str) -> xr.Dataset:
    """How strongly the measured images themselves ask for each atom that was found in a volume.

    A filter that has learned what atoms look like can put one where the images hold none. Here atoms and poses are
    fitted to the images, which takes up small errors of both, and then the heights of all atoms at once, with those of
    some hundred empty places in and about the specimen. What the images hold at empty places says what an invented
    atom would look like, noise and errors of the model included; errors are widened until they explain it.

    For each atom `height` is what the images hold there, over the usual atom of its element, `height_sigma` its
    standard error, `height_tilt` the median of what each image alone would say, `tilts` the share of the images that
    alone are nearer to an atom than to none, and `astray` how far from where it was found the images have it. `support`
    is the probability that it is there, from the lower of both heights; `unsupported` marks those below one half. All
    are 0 and unsupported where the usual atom does not stand out by `significance` standard errors: such images tell
    nothing, and neither do atoms in a volume of noise. NaN, and not marked, for atoms that less than half of the images
    show on pixels that count. A light atom among heavy ones that bears their name looks like none: name the elements
    first.

    The atoms stay where and as they are; with `remove` those that are not supported go, each with an entry in the
    ledger, whose score is its height. `vacancy` and `vacancy_height` are the empty places and what is there.
    Refined atoms bring the poses, shifts and intensities that they were refined with.

    References
    ----------
    R. F. Barber, E. J. Candes, Annals of Statistics 43, 2055 (2015), doi:10.1214/15-AOS1337 (judging what was found
    beside stand-ins that are known to be false).
    """
    require_images("measure.support", series, params)
    problem = problem_of(
        "measure.support", atoms, series, params.profile, params.width, AROUND, params.extended, device
    )
    prior = Prior(turn=float(np.deg2rad(params.angle_error)), shift=params.shift_error)
    noise = first_noise(series, problem)
    settled = params.noise == "poisson" or noise.variance is not None
    found = asked(problem.scene, problem.state, noise, settled, prior, params.reach, params.seed)
    share = supported(found, params.odds, params.significance, params.reach)
    if found.resolved < params.significance:
        text = "the images do not tell the usual atom from an empty place: none of the atoms is supported"
        warnings.warn(text, AetxWarning, stacklevel=2)
    one, length = {"units": "1"}, {"units": "angstrom"}
    made = atoms.assign(
        support=("atom", share, one),
        unsupported=("atom", share < EVEN, one),
        height=("atom", found.height, one),
        height_sigma=("atom", found.sigma, one),
        height_tilt=("atom", found.middle, one),
        tilts=("atom", found.tilts, one),
        astray=("atom", np.where(np.isfinite(found.height), found.astray, np.nan), length),
        vacancy=(("empty", "axis"), found.place + problem.centre, length),
        vacancy_height=("empty", found.empty, one),
    )
    return _without(made) if params.remove else made


def _without(judged: xr.Dataset) -> xr.Dataset:
    """Return the atoms that are supported, the others as entries of the ledger."""
    gone = judged["unsupported"].values
    lost = judged.isel(atom=gone)
    new = entries(
        np.full(gone.sum(), "removed"),
        np.full(gone.sum(), REASON),
        lost["atom"].values,
        positions(lost),
        lost["height"].values,
        last_round(judged) + 1,
    )
    return continued(judged.isel(atom=~gone), new)
