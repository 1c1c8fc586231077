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


SETTLED = 0.01
"""Greatest change of a probability in a round of `level` after which there is no further one."""


class SpeciesParams(BoxParams):
    """Parameters of `species`."""

    elements: tuple[Element, ...] = Field(
        (),
        max_length=8,
        description="chemical symbols by rising brightness; none for those that the atoms have, by atomic number",
    )
    method: Literal["level", "local", "k_means", "templates", "mixture"] = Field(
        "level",
        description="by a mixture of intensities without the level around each atom, by the boxes of the atoms around, "
        "by k-means of the intensities, by mean boxes of all atoms, or by a mixture of the intensities",
    )
    scale: Literal["linear", "logarithmic"] = Field(
        "linear", description="for k_means and mixture: intensities, or their logarithms"
    )
    radius: Length = Field(
        10.0, gt=0, le=1000, description="for level and local: how far around an atom others are looked at"
    )
    least: int = Field(3, ge=1, le=1000, description="for level and local: atoms around an atom that make a mean")
    rounds: int = Field(100, ge=1, le=10_000, description="for level, local and templates: most rounds with new means")

    @model_validator(mode="after")
    def _without_contradiction(self) -> Self:
        if len({atomic_number(one) for one in self.elements}) < len(self.elements):
            raise ValueError("each element once")
        meant = {
            "level": {"radius", "least", "rounds"},
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
    around = 4e-4 * (params.radius / 10) ** 3 if params.method in ("level", "local") else 0.0
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
    `intensity` that the atoms have, as from a fit to images.

    - `k_means`: the partition of the intensities with the least sum of squares, the optimum itself. It may cut a common
      element in two and leave a rare one undivided;
    - `mixture`: the most probable part of a mixture of normal distributions, the likeliest of those that grow from the
      partitions by k-means, by k-means of the logarithms, and into equal numbers;
    - `templates`: from there, each box goes to the nearest mean box by absolute differences, until none changes;
    - `local`: from there, each box goes to the nearest mean box of the atoms within `radius`, by squared differences,
      all atoms at once, until none changes or five rounds changed equally many; a class with fewer than `least` members
      there is not compared, and an atom whose own has fewer stays what it is. It is indifferent to a brightness that
      varies slowly over the particle, but not to noise that differs between the points of a box, and it takes all
      elements for equally common;
    - `level`: from there, the intensities are divided by their level, that is the sum of the intensities of the other
      atoms within `radius` over what their probable classes lead to expect; the mixture grows on with these, until no
      probability changes. Equally indifferent, and takes elements for as common as they are.

    `probability` is the posterior of such a mixture, grown from the classes found, of the intensities without their
    level (`flat_intensity`) after `level` and `local`. `confusion` is what it leads to expect: the fraction of the
    atoms of one element that are assigned to another; `threshold` is where neighbouring elements part. Intensities that
    are not normally distributed make them wrong. A larger ball counts more of an atom and averages more noise, until it
    reaches the neighbours. Atoms that `classify.atoms` rejected, or whose intensity is not known, have species 0.
    Computes; the volume is read in blocks.

    References
    ----------
    Y. Yang et al., Nature 592, 60 (2021), doi:10.1038/s41586-021-03354-0, Methods, and the code published with it.
    """
    numbers = _elements(atoms, params)
    bright = brightness("classify.species", atoms, volume, params, memory)
    values = bright.intensity
    used = np.isfinite(values) & ((values > 0) | (params.scale == "linear"))
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
    known, flat = np.log(values) if params.scale == "logarithmic" else values, None
    if params.method == "k_means":
        labels = clustering.k_means(known, parts)
        edges = [(known[labels == k].max(), known[labels == k + 1].min()) for k in range(parts - 1)]
        threshold = np.array(edges).reshape(-1, 2).mean(axis=1)
        probability = clustering.ordered_posterior(known, clustering.mixture(known, labels, parts))
        return _Classes(labels, probability, np.exp(threshold) if known is not values else threshold, None)
    begun = clustering.starts(values, parts)
    if params.method == "level":
        fitted, known = _levelled(values, position, begun, parts, params)
        flat = known
    else:
        fitted = clustering.likeliest(known, begun, parts)
    labels = clustering.ordered_posterior(known, fitted).argmax(axis=1)
    if params.method in ("local", "templates"):
        labels, flat = _compared(values, cut, position, labels, parts, params)
        known = values if flat is None else flat
        complete = np.bincount(labels, minlength=parts).min() > 0
        fitted = clustering.likeliest(known, [labels] if complete else begun, parts)
    threshold = clustering.thresholds(fitted)
    if params.scale == "logarithmic":
        threshold = np.exp(threshold)
    return _Classes(labels, clustering.ordered_posterior(known, fitted), threshold, flat)


def _levelled(
    values: F64, position: F64, begun: list[I64], parts: int, params: SpeciesParams
) -> tuple[clustering.Mixture, F64]:
    """Return the mixture of intensities without their level, and these, from the start that makes them likeliest."""
    best, found, settled = -np.inf, None, True
    for labels in begun:
        fitted = clustering.mixture(values, labels, parts)
        flat, probability = values, clustering.ordered_posterior(values, fitted)
        level, calm = np.ones(values.size), False
        for _ in range(params.rounds):
            before = probability
            level = surroundings.level(values, before @ fitted.mean, position, params.radius, params.least)
            flat = values / level
            fitted = clustering.grown(flat, before)
            probability = clustering.ordered_posterior(flat, fitted)
            if calm := bool(np.abs(probability - before).max() < SETTLED):
                break
        likelihood = fitted.log_likelihood - float(np.log(level).sum())  # of the intensities, given their level
        if likelihood > best:
            best, found, settled = likelihood, (fitted, flat), calm
    if not settled:
        _warn_of_change()
    assert found is not None
    return found


def _compared(
    values: F64, cut: NDArray[np.float32], position: F64, labels: I64, parts: int, params: SpeciesParams
) -> tuple[I64, F64 | None]:
    """Return classes by mean boxes, and after `local` the intensities without their level."""
    flat, around = None, (params.radius, params.least)
    if params.method == "templates":
        labels, settled = boxes.by_template(cut, labels, parts, False, params.rounds)
    else:
        labels, _, settled = surroundings.local_classes(cut, position, labels, parts, *around, params.rounds)
        expected = clustering.described(values, labels, parts).mean[labels]
        flat = values / surroundings.level(values, expected, position, *around)
    if not settled:
        _warn_of_change()
    return labels, flat


def _warn_of_change() -> None:
    text = "the species of some atoms were still changing at the end: see their probability"
    warnings.warn(text, AetxWarning, stacklevel=5)


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
