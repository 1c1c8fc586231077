"""Pair distribution of atoms: g(r) and G(r), all and by pairs of species, in the particle's own shape."""

from __future__ import annotations

import math
import warnings

import numpy as np
import xarray as xr
from ase.data import chemical_symbols
from numpy.typing import NDArray
from pydantic import Field

from aetx.core import Forecast, InputSizes, Length, Params, stage
from aetx.core.atoms import finite_positions
from aetx.errors import AetxWarning
from aetx.kernels.alpha_shape import body
from aetx.kernels.neighbours import first_minimum
from aetx.kernels.pair_distribution import PairHistogram, filled_share, first_peak, histogram, shell_volume
from aetx.model import ATOMS, SCORE

F64 = NDArray[np.float64]

ANGSTROM, ONE = {"units": "angstrom"}, {"units": "1"}
NAME = "structure.pair_distribution"


class PairDistributionParams(Params):
    """Parameters of `pair_distribution`."""

    reach: Length = Field(20.0, gt=0, le=200, description="greatest distance of a pair, made up to a whole bin")
    step: Length = Field(0.05, gt=0, le=5, description="width of the bins of distance")
    alpha: Length = Field(4.0, gt=0, le=100, description="radius of the alpha shape that is the body of the particle")
    samples: int = Field(
        20_000, ge=1000, le=10_000_000, description="points drawn in that body to tell which share of shells it fills"
    )
    seed: int = Field(0, ge=0, lt=2**63, description="seed of the points drawn")


def _forecast(inputs: InputSizes, params: PairDistributionParams) -> Forecast:
    atoms = inputs["atoms"][0].get("atom", 1)
    bins = math.ceil(params.reach / params.step)
    pairs = atoms * min(atoms, 0.3 * params.reach**3)
    seconds = 0.2 + 4e-5 * atoms + 2e-8 * (pairs + params.samples * min(atoms, params.reach**3))
    return Forecast({"distance": bins}, memory=3000 * atoms + 2000 * bins + 500 * params.samples, seconds=seconds)


@stage(NAME, takes={"atoms": ATOMS}, gives=SCORE, params=PairDistributionParams, version=1, forecast=_forecast)
def pair_distribution(atoms: xr.Dataset, params: PairDistributionParams) -> xr.Dataset:
    """How many pairs of atoms lie at each distance, beside an even density in the same body: g(r) and G(r).

    The body is the outer alpha shape of the atoms. An atom counts with the share w of its solid angle that the body
    fills: 1 inside, 1/2 on a face, less on edges and corners. With the density n = sum w / volume,

        g(r) = sum_ij w_i w_j [r_ij in bin] / (n shell_volume(r) sum_i w_i filled_i(r)),

    where the share of the shells around atoms that lies in the body is sampled. g tends to 1 in a finite particle of
    any shape, to 1 % where counted whole atoms and no weights would give up to 10 % less. G(r) = 4 pi r n (g - 1).

    `count` are plain ordered pairs: each pair twice, an atom with itself never. For two species a and b, g_ab is
    relative to their concentrations, so that the mean of g_ab with c_a c_b is g; their `partial_count` is from a to b,
    and pairs of one species are counted twice. In a particle with core and shell g_ab tends to no limit.

    Errors are those of counting, pairs being independent events; at large r, where an atom is in many pairs, they are
    lower bounds. NaN where no pair was met, or where no pair can be. `first_peak` is the centre of a Gaussian fitted
    to r**2 g: in fcc the lattice constant is sqrt(2) times it. `first_minimum` is the end of the first shell, the
    cutoff that other stages take; `coordination_number` is what the first shell holds inside, the integral of
    4 pi n r**2 g up to there.

    References
    ----------
    Y. Yang et al., Nature 592, 60 (2021), doi:10.1038/s41586-021-03354-0 (shells within the alpha shape, radius 4
    angstrom, whole atoms); B. D. Ripley, J. Appl. Probab. 13, 255 (1976), doi:10.2307/3212829 (edge correction).
    """
    position = finite_positions(f"{NAME}: atoms", atoms)
    bins = math.ceil(params.reach / params.step - 1e-9)
    distance = np.asarray((np.arange(bins) + 0.5) * params.step, np.float64)
    number, kind = np.unique(atoms["species"].values, return_inverse=True)
    shape = body(position, params.alpha)
    weight, volume = shape.share(), float(shape.volume.sum())
    if not volume:
        text = f"{NAME}: the alpha shape of radius {params.alpha:g} angstrom holds no volume; g is NaN. Raise 'alpha'"
        warnings.warn(text, AetxWarning, stacklevel=2)
    found = histogram(position, kind.astype(np.int64), len(number), weight, params.step, bins)
    share = np.full(bins, np.nan)
    if volume:
        drawn = shape.sample(params.samples, np.random.default_rng(params.seed))
        share = filled_share(position, weight, drawn, volume, params.step, bins)
    total = float(weight.sum())
    density = total / volume if volume else float("nan")
    with np.errstate(invalid="ignore", divide="ignore"):
        even = total * density * shell_volume(bins, params.step) * np.where(share > 0, share, np.nan)
        g = found.weight.sum((1, 2)) / even
        both = found.square + found.square * ~np.eye(len(number), dtype=bool)
        error = np.where(g > 0, np.sqrt(both.sum((1, 2))), np.nan) / even
        partial = _partial(found, np.bincount(kind, weight, len(number)) / total, even)
    end = first_minimum(position)
    inside = np.clip((end - distance) / params.step + 0.5, 0, 1)
    shell = shell_volume(bins, params.step) * np.nan_to_num(g)
    whole = math.isfinite(end) and end <= params.reach
    radial, radial_error = (np.asarray(distance**2 * np.nan_to_num(one), np.float64) for one in (g, error))
    peak, peak_error = first_peak(distance, radial, radial_error)
    label = [f"{_symbol(int(a))}-{_symbol(int(b))}" for i, a in enumerate(number) for b in number[i:]]
    slope = 4 * math.pi * distance * density
    return xr.Dataset(
        {
            "count": ("distance", found.count.sum((1, 2)), ONE),
            "g": ("distance", g, ONE | {"long_name": "g(r)"}),
            "g_error": ("distance", error, ONE),
            "pdf": ("distance", slope * (g - 1), {"units": "1/angstrom**2", "long_name": "G(r)"}),
            "pdf_error": ("distance", slope * error, {"units": "1/angstrom**2"}),
            "filled_share": ("distance", share, ONE),
            **{name: (("distance", "pair"), values, ONE) for name, values in partial.items()},
            "density": ((), density, {"units": "1/angstrom**3"}),
            "volume": ((), volume, {"units": "angstrom**3"}),
            "first_peak": ((), peak, ANGSTROM),
            "first_peak_error": ((), peak_error, ANGSTROM),
            "first_minimum": ((), end, ANGSTROM),
            "coordination_number": ((), density * float(inside @ shell) if whole else float("nan"), ONE),
        },
        coords={"distance": ("distance", distance, ANGSTROM), "pair": label},
    )


def _partial(found: PairHistogram, concentration: F64, even: F64) -> dict[str, NDArray[np.generic]]:
    """Return counts, g and its error for each unordered pair of species, shape (bins, pairs)."""
    one, other = np.triu_indices(len(concentration))
    wanted = even[:, None] * (concentration[one] * concentration[other])
    g = found.weight[:, one, other] / np.where(wanted > 0, wanted, np.nan)
    scatter = np.sqrt(found.square[:, one, other]) / np.where(wanted > 0, wanted, np.nan)
    return {
        "partial_count": found.count[:, one, other],
        "partial_g": g,
        "partial_g_error": np.where(g > 0, scatter, np.nan),
    }


def _symbol(number: int) -> str:
    return chemical_symbols[number] if 0 < number < len(chemical_symbols) else "unknown"
