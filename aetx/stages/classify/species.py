"""The species of each atom, by how bright it is."""

from __future__ import annotations

import warnings
from typing import Any, Literal, NamedTuple, Self

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field, model_validator

from aetx.core import Forecast, InputSizes, Length, optional, stage
from aetx.core.brightness import REJECTED, BoxParams, Brightness, brightness, brightness_forecast
from aetx.core.element import Element, atomic_number
from aetx.errors import AetxWarning, InputError, Problem
from aetx.kernels import boxes, clustering, surroundings
from aetx.model import ATOMS, VOLUME

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]


class SpeciesParams(BoxParams):
    """Parameters of `species`."""

    elements: tuple[Element, ...] = Field(
        (),
        max_length=8,
        description="chemical symbols by rising brightness; none for those that the atoms have, by atomic number",
    )
    method: Literal["local", "k_means", "templates", "mixture"] = Field(
        "local",
        description="by the boxes of the atoms around, by k-means of the intensities, by mean boxes of all atoms, or "
        "by a mixture of normal distributions",
    )
    scale: Literal["linear", "logarithmic"] = Field(
        "linear", description="for k_means and mixture: intensities, or their logarithms"
    )
    radius: Length = Field(10.0, gt=0, le=1000, description="for local: how far around an atom others are looked at")
    least: int = Field(3, ge=1, le=1000, description="for local: atoms of a species around an atom that make a mean")
    rounds: int = Field(100, ge=1, le=10_000, description="for local and templates: most rounds with new means")

    @model_validator(mode="after")
    def _without_contradiction(self) -> Self:
        if len({atomic_number(one) for one in self.elements}) < len(self.elements):
            raise ValueError("each element once")
        meant = {
            "local": {"radius", "least", "rounds"},
            "templates": {"rounds"},
            "k_means": {"scale"},
            "mixture": {"scale"},
        }
        void = {"radius", "least", "rounds", "scale"} - meant[self.method]
        if given := sorted(void & self.model_fields_set):
            raise ValueError(f"without {', '.join(given)}, which method: {self.method} does not use")
        return self


def _forecast(inputs: InputSizes, params: SpeciesParams) -> Forecast:
    told = brightness_forecast(inputs, params)
    atoms, parts = told.sizes["atom"], max(len(params.elements), 2)
    around = 4e-4 * (params.radius / 10) ** 3 if params.method == "local" else 0.0
    memory = told.memory * 2 + atoms * 100 * parts
    return Forecast(told.sizes, memory=memory, seconds=told.seconds + atoms * (around + 1e-5 * parts))


@stage(
    "classify.species",
    takes={"atoms": ATOMS, "volume": optional(VOLUME)},
    gives=ATOMS,
    params=SpeciesParams,
    version=1,
    flow="halo",
    forecast=_forecast,
)
def species(
    atoms: xr.Dataset, volume: xr.Dataset | None, params: SpeciesParams, memory: int | None = None
) -> xr.Dataset:
    """Atoms with their species and how probable each is, by the density around them or by their fitted intensity.

    With a volume, cubic splines give the density on a lattice centred at each atom, finer than the voxels; the ball
    inscribed in that box is used, and `intensity` becomes its integral. Without a volume, the box is one number: the
    `intensity` that the atoms have, as from a fit to images. All methods start from the partition of the intensities
    into as many classes as there are elements with the least sum of squares (k-means, the optimum itself):

    - `k_means` stays there;
    - `templates`: each box goes to the nearest mean box by absolute differences, until none changes;
    - `local`: each box goes to the nearest mean box of the atoms within `radius`, by squared differences, all atoms at
      once, until none changes or five rounds changed equally many; a class with fewer than `least` members there is not
      compared, and an atom whose own has fewer stays what it is. It is indifferent to a brightness that varies slowly
      over the particle;
    - `mixture`: the most probable part of a mixture of normal distributions.

    `probability` is the posterior of such a mixture, fitted from the classes found. After `local` it is that of
    `flat_intensity` = intensity / level, where the level is the sum of the intensities within `radius` over that of the
    means of their classes. `confusion` is what it leads to expect: the fraction of the atoms of one element that are
    assigned to another; `threshold` is where neighbouring elements part. Intensities that are not normally distributed
    make it wrong. Atoms that `classify.atoms` rejected, or whose intensity is not known, have species 0. Computes; the
    volume is read in blocks.

    References
    ----------
    Y. Yang et al., Nature 592, 60 (2021), doi:10.1038/s41586-021-03354-0, Methods, and the code published with it.
    """
    numbers = _elements(atoms, params)
    bright = brightness("classify.species", atoms, volume, params, memory)
    values = bright.intensity
    if params.scale == "logarithmic":
        values = np.log(np.where(values > 0, values, np.nan))
    used = np.isfinite(values)
    if not used.all():
        text = f"{int((~used).sum())} atoms have no intensity that can be compared: their species is unknown"
        warnings.warn(text, AetxWarning, stacklevel=2)
    if "flag" in atoms:
        used &= atoms["flag"].values & REJECTED == 0
    different = np.unique(values[used]).size
    if different < numbers.size:
        wanted = f"at least {numbers.size}, one to an element"
        problem = Problem("classify.species: atoms", "intensity", f"{different} values", wanted, "name fewer elements")
        raise InputError(problem)
    found = _classes(values[used], bright.boxes[used], bright.position[used], numbers.size, params)
    return _table(atoms, bright, used, numbers, found)


def _elements(atoms: xr.Dataset, params: SpeciesParams) -> NDArray[np.int32]:
    """Return the atomic numbers by rising brightness."""
    if params.elements:
        return np.array([atomic_number(one) for one in params.elements], np.int32)
    present = np.unique(atoms["species"].values)
    present = present[present > 0].astype(np.int32)
    if not present.size:
        wanted, fix = "elements", "name them by rising brightness: elements: [Fe, Pt]"
        raise InputError(Problem("classify.species: atoms", "species", "all unknown", wanted, fix))
    return present


class _Classes(NamedTuple):
    """Class of each atom, its probability (atoms, parts), where classes part, and intensities without their level."""

    labels: I64
    probability: F64
    threshold: F64
    flat: F64 | None


def _classes(values: F64, cut: NDArray[np.float32], position: F64, parts: int, params: SpeciesParams) -> _Classes:
    start = labels = clustering.k_means(values, parts)
    flat, settled = None, True
    if params.method == "templates":
        labels, settled = boxes.by_template(cut, start, parts, False, params.rounds)
    elif params.method == "local":
        around = (params.radius, params.least)
        local = surroundings.local_classes(cut, position, start, parts, *around, params.rounds)
        labels, settled = local.labels, local.settled
        expected = clustering.described(values, labels, parts).mean[labels]
        flat = values / surroundings.level(values, expected, position, *around)
    if not settled:
        text = "some atoms were still changing their species at the end: see their probability"
        warnings.warn(text, AetxWarning, stacklevel=3)
    known = values if flat is None else flat
    complete = np.bincount(labels, minlength=parts).min() > 0
    fitted = clustering.mixture(known, labels if complete else clustering.k_means(known, parts), parts)
    probability = clustering.ordered_posterior(known, fitted)
    threshold = clustering.thresholds(fitted)
    if params.method == "k_means":
        edges = [(values[labels == k].max(), values[labels == k + 1].min()) for k in range(parts - 1)]
        threshold = np.array(edges).reshape(-1, 2).mean(axis=1)
    if params.method == "mixture":
        labels = probability.argmax(axis=1)
    return _Classes(labels, probability, np.exp(threshold) if params.scale == "logarithmic" else threshold, flat)


def _table(
    atoms: xr.Dataset, bright: Brightness, used: NDArray[np.bool_], numbers: NDArray[np.int32], found: _Classes
) -> xr.Dataset:
    count, parts = used.size, numbers.size
    one, unit = {"units": "1"}, {"units": bright.units}
    kind = np.zeros(count, np.int32)
    kind[used] = numbers[found.labels]
    probability = np.full((count, parts), np.nan)
    probability[used] = found.probability
    assigned = np.stack([found.probability[found.labels == part].sum(axis=0) for part in range(parts)], axis=1)
    new: dict[str, Any] = {
        "species": ("atom", kind, one),
        "intensity": ("atom", bright.intensity.astype(np.float32), unit),
        "probability": (("atom", "element"), probability.astype(np.float32), one),
        "confusion": (("element", "assigned"), assigned / assigned.sum(axis=1, keepdims=True), one),
        "threshold": ("boundary", found.threshold, unit),
    }
    if found.flat is not None:
        flat = np.full(count, np.nan, np.float32)
        flat[used] = found.flat
        new["flat_intensity"] = ("atom", flat, unit)
    rest = atoms.drop_dims(["element", "assigned", "boundary"], errors="ignore")
    rest = rest.drop_vars("flat_intensity", errors="ignore")
    coords = {name: (name, numbers, one) for name in ("element", "assigned")}
    return rest.assign(new).assign_coords(coords)
