"""Species told apart on images simulated from published models, against the species published.

Run as ``python -m tests.benchmarks.accuracy_species``. The data are looked for in the folder named by ``AETX_DATA``,
else beside the checkout. Nothing measured is there to classify: projections and volumes of these particles were not
published. So a ball is cut out of each model, linear images of it are drawn at the published angles with counting
noise, and a volume is reconstructed. The angles of the Pd@Pt particle were not published: it is seen at those of the
metallic glass.

Species are told apart three times: by the density at the atoms of the model, each moved by a normal error of 20 pm in
space; by the density at the peaks that `trace.peaks` finds, without rejecting any; and by the heights that
`refine.images` fits, from the moved atoms and the species found first, without adding or removing any.

The three groups of the alloys have the heights that the authors fitted, 1 : 1.36 : 2.58, of which the brightest gets
the cross-section of Pt, and no spread within a group, as that was not published. Pd and Pt get their cross-sections. In
a second run, brightness varies along x by 15 percent from the middle of the ball to its rim.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.io
import xarray as xr
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from aetx.core.atoms import atoms_dataset
from aetx.core.tilts import centred_axis, pose_coords
from aetx.errors import AetxWarning
from aetx.kernels.scattering import adf_cross_section
from aetx.model import ATOMS
from aetx.stages.classify.species import species
from aetx.stages.reconstruct.resire import resire
from aetx.stages.refine.images import images as refine
from aetx.stages.simulate.acquisition import acquisition
from aetx.stages.simulate.images import images
from aetx.stages.trace.peaks import peaks

DATA = Path(os.environ.get("AETX_DATA", Path(__file__).parents[3] / "shared" / "data"))

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

DOSE = 1.7e4
"""Electrons per square angstrom of each image: the lower dose at which the authors repeated their own analysis."""
WRONG = 0.2
"""Error of the positions in space, angstrom."""
SLOPE = 0.15
GROUPED = (1.0, 1.36, 2.58)
"""Heights of the three groups of the alloys."""
HALVES = (3, 6)
"""Points of a box to each side of an atom: the published one, a ball of 0.4 angstrom radius, and one of 0.75."""
WIDTH = 0.6
"""Width of an atom in the images, angstrom."""
PIXEL = 0.347
METHODS = ("k_means", "templates", "mixture", "local", "level")


@dataclass(frozen=True)
class Model:
    """A ball cut out of a published model: positions from its middle, classes from 0, elements, angles in degree."""

    name: str
    position: F64
    kind: I64
    elements: tuple[str, ...]
    angles: F64


def array(path: str, name: str | None = None) -> F64:
    """Return a variable of a MATLAB file, the first where no name is given."""
    found = {key: value for key, value in scipy.io.loadmat(DATA / path).items() if not key.startswith("_")}
    return np.asarray(found[name] if name else next(iter(found.values())), np.float64)


def ball(position: F64, kind: F64, middle: F64, radius: float) -> tuple[F64, I64]:
    """Cut a ball out."""
    apart = position - middle
    near = np.linalg.norm(apart, axis=1) <= radius
    return apart[near], kind[near].astype(np.int64) - 1


def models(radius: float) -> list[Model]:
    """Return balls of the models; that of Pd@Pt lies half-way from the middle to the surface, across the interface."""
    glass, alloy = "metallic_glass", "hea_nucleation/HEA_4"
    turns = array(f"{glass}/1_Measured_data/Angles.mat")
    found = []
    place = array(f"{glass}/6_Final_coordinates/final_atom_coord_inA.mat").T
    kind = array(f"{glass}/6_Final_coordinates/final_atom_types.mat").ravel()
    groups = ("Ni", "Rh", "Pt")
    found.append(Model("metallic glass", *ball(place, kind, place.mean(0), radius), groups, turns))
    place = array("pdpt_core_shell/coordinates_TO.mat", "pos").T * 0.3434
    kind = array("pdpt_core_shell/coordinates_TO.mat", "type").ravel()
    shift = np.array([0.5, 0, 0]) * np.ptp(place, axis=0) / 2
    found.append(Model("Pd@Pt", *ball(place, kind, place.mean(0) + shift, radius), ("Pd", "Pt"), turns))
    (file,) = (DATA / alloy).glob("Final_atomic_model*")
    own = array(f"{alloy}/angles.mat")
    place, kind = array(f"{alloy}/{file.name}", "model").T, array(f"{alloy}/{file.name}", "atoms").ravel()
    found.append(Model("HEA_4", *ball(place, kind, place.mean(0), radius), groups, own))
    return found


def series_of(model: Model, slope: float, seed: int) -> xr.Dataset:
    """Return images of the true atoms in electrons."""
    if len(model.elements) == 2:
        height = adf_cross_section(np.array([46, 78]), 300.0, 40.0, 200.0)[model.kind]
    else:
        brightest = adf_cross_section(np.array([78]), 300.0, 40.0, 200.0)[0]
        height = np.array(GROUPED)[model.kind] / GROUPED[-1] * brightest
    radius = np.linalg.norm(model.position, axis=1).max()
    height *= 1 + slope * model.position[:, 0] / radius
    true = ATOMS.stamp(
        atoms_dataset(model.position, np.array([28, 45, 78])[model.kind], {"intensity": (height, "angstrom**2")})
    )
    size = 2 * int((radius + 4) / PIXEL) + 1
    frame = xr.Dataset(
        {"image": (("tilt", "y", "x"), np.zeros((len(model.angles), size, size), np.float32), {"units": "1"})},
        {**pose_coords(model.angles), "y": centred_axis("y", size, PIXEL), "x": centred_axis("x", size, PIXEL)},
        {"aetx_schema": "tilt_series/1"},
    )
    seen = images(true, frame, width=WIDTH, columns=("intensity",))
    return acquisition(seen, dose=DOSE, seed=seed).compute()


def agreement(found: xr.Dataset, model: Model, numbers: list[int]) -> str:
    """Compare species with those published: of atoms within 1 angstrom of a true one, and how many are not."""
    apart, nearest = cKDTree(model.position).query(found["position"].values)
    near = np.asarray(apart) < 1.0
    right = found["species"].values[near] == np.array(numbers)[model.kind[np.asarray(nearest)[near]]]
    told = float(found["probability"].max("element").mean())
    lost = len(model.position) - len(set(np.asarray(nearest)[near].tolist()))
    return f"{100 * right.mean():6.2f} % ({100 * told:.2f} % told), {lost} missed, {int((~near).sum())} false"


def report(said: str, sites: xr.Dataset, volume: xr.Dataset | None, model: Model, half: int) -> None:
    """Print one line for each method."""
    for method in METHODS:
        found = species(sites, volume, elements=model.elements, method=method, half_size=half)
        numbers = found["element"].values.tolist()
        print(f"    {said:28s} {method:10s} {agreement(found, model, numbers)}", flush=True)


def main() -> None:
    """Print one line for each model, slope, set of positions and method."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--radius", type=float, default=15.0, help="of the balls, angstrom")
    parser.add_argument("--iterations", type=int, default=100, help="of the reconstruction")
    given = parser.parse_args()
    warnings.simplefilter("ignore", AetxWarning)
    for model in models(given.radius):
        counts = ", ".join(f"{n} {e}" for n, e in zip(np.bincount(model.kind), model.elements, strict=True))
        print(
            f"{model.name}: ball of {given.radius:g} A, {counts}, {len(model.angles)} tilts, {DOSE:g} e/A^2", flush=True
        )
        for slope in (0.0, SLOPE):
            began = time.time()
            series = series_of(model, slope, seed=1)
            volume = resire(series, iterations=given.iterations).compute()
            traced = peaks(volume)
            print(f"  slope {slope:g}: volume {volume.sizes['z']}^3 in {time.time() - began:.0f} s")
            wrong = np.random.default_rng(2).normal(0, WRONG / np.sqrt(3), model.position.shape)
            near = ATOMS.stamp(atoms_dataset(model.position + wrong, 0))
            for half in HALVES:
                for said, sites in ((f"true + {100 * WRONG:.0f} pm", near), ("traced", traced)):
                    report(f"{said}, box {half}", sites, volume, model, half)
            first = species(near, volume, elements=model.elements, method="mixture", half_size=HALVES[-1])
            began = time.time()
            fitted = refine(first, series, sites=False, profile="gaussian", heights="each", widths="shared", held_out=0)
            report(f"heights, fitted in {time.time() - began:.0f} s", fitted, None, model, HALVES[0])


if __name__ == "__main__":
    main()
