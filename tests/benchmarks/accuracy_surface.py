"""Surface atoms, facets, shape and activity against known truth, and how long they take.

Run as ``python -m tests.benchmarks.accuracy_surface [--repeats 200]``. Bodies are cut from a turned fcc lattice and
their atoms moved by Gaussian noise; what lattice.fit finds from the positions alone is what facets are made of. Truth
are the outermost planes of the bodies, of the dumbbell its undisplaced sites, by distances and heights. Pulls are
differences from the noise-free result over standard errors.
"""

from __future__ import annotations

import argparse
import time
import warnings
from typing import Any

import numpy as np
import xarray as xr

from aetx.errors import AetxWarning
from aetx.stages.lattice.fit import fit
from aetx.stages.simulate.dumbbell import dumbbell
from aetx.stages.strain.lattice_constant import lattice_constant
from aetx.stages.surface.activity import activity
from aetx.stages.surface.activity_alloy import activity_alloy
from aetx.stages.surface.activity_map import activity_map
from aetx.stages.surface.atoms import atoms as surface_atoms
from aetx.stages.surface.curvature import curvature
from aetx.stages.surface.displacement import displacement
from aetx.stages.surface.facets import facets
from aetx.stages.surface.shape import shape
from tests.stages.crystals import CELL, NONE, TURN, atoms, faces, lattice, sites
from tests.stages.test_surface_facets import dumbbell_truth, on_family

MILLER = {"111": (1, 1, 1), "100": (1, 0, 0)}
BODIES = (("truncated_octahedron", 18, 12), ("cuboctahedron", 7, 0), ("cube", 9, 0), ("octahedron", 14, 0))
NOISES = (0.05, 0.1, 0.2)
"""Angstrom along each axis."""


def surfaces() -> None:
    """Print how many surface atoms each rule finds in a cuboctahedron of 561, of which 252 are."""
    rules: dict[str, dict[str, Any]] = {
        "default": {},
        "radius 3.5": {"radius": 3.5},
        "shrink 0.5": {"shrink": 0.5},
        "fewer than 10": {"coordination": 10},
    }
    print("\nsurface atoms of a cuboctahedron of 561 (252)\n")
    print("| noise (A) | " + " | ".join(rules) + " |\n|---|" + "---|" * len(rules))
    site = sites("cuboctahedron", 5)
    for noise in (0.0, *NOISES):
        moved = site @ (CELL * TURN) + np.random.default_rng(0).normal(0, noise, site.shape)
        counts = [int(surface_atoms(atoms(moved), **rule)["surface"].sum()) for rule in rules.values()]
        print(f"| {noise:g} | " + " | ".join(map(str, counts)) + " |")


def bodies() -> None:
    """Print the share of atoms whose {111} and {100} are right."""
    print("\natoms with the right facets (%)\n\n| body | atoms | noise (A) | {111} | {100} |\n|---|---|---|---|---|")
    for name, size, cut in BODIES:
        site = sites(name, size, cut)
        true = faces(site, MILLER)
        true["111"] &= name != "cube"
        true["100"] &= name != "octahedron"
        for noise in NOISES:
            moved = site @ (CELL * TURN) + np.random.default_rng(1).normal(0, noise, site.shape)
            found = facets(fit(atoms(moved, noise), type="fcc"))
            right = [100 * np.mean(on_family(found, one) == true[one]) for one in MILLER]
            print(f"| {name} | {len(site)} | {noise:g} | {right[0]:.2f} | {right[1]:.2f} |")
    for moved_by in (0.0, 0.1, 0.2):
        grown = dumbbell(displacement=moved_by, disorder=2.0) if moved_by else dumbbell(displacement=0.0)
        found, wanted = facets(fit(grown, type="fcc")), dumbbell_truth(grown)
        right = [100 * np.mean(on_family(found, one) == wanted[one]) for one in MILLER]
        print(f"| dumbbell | 3504 | {moved_by:g} (3d, twice at the surface) | {right[0]:.2f} | {right[1]:.2f} |")


def shapes() -> None:
    """Print sphericities of bodies and semi-axes of an ellipsoid."""
    print("\nsphericity\n\n| body | found | polyhedron |\n|---|---|---|")
    wanted = {"truncated_octahedron": 0.910, "cuboctahedron": 0.905, "cube": 0.806, "octahedron": 0.846}
    for name, size, cut in BODIES:
        found = shape(atoms(sites(name, size, cut) @ (CELL * TURN)))
        print(f"| {name} | {float(found['sphericity']):.4f} | {wanted[name]:.3f} |")
    edge = np.arange(-40, 41)
    twice = np.stack(np.meshgrid(edge, edge, edge, indexing="ij"), -1).reshape(-1, 3)
    place = twice[twice.sum(1) % 2 == 0] / 2 * CELL
    axes = np.array([34.0, 27.0, 20.0])
    found = shape(atoms(place[((place @ TURN / axes) ** 2).sum(1) <= 1] @ TURN))
    print(f"\nellipsoid of {axes}: semi-axes {found['semi_axes'].values.round(2)}, off by "
          f"{np.round(100 * (found['semi_axes'].values / axes - 1), 2)} %")  # fmt: skip


def table() -> None:
    """Print log10 of the activity of unstrained and strained facets."""
    print("\nlog10(j / j of Pt(111)) of the defaults\n\n| strain | {111} | {100} |\n|---|---|---|")
    given = facets(lattice(sites("cuboctahedron", 5)))
    for strain in (0.0, 0.04, -0.02):
        bent = given.assign(local_strain=("atom", np.full(given.sizes["atom"], strain), NONE))
        mean = activity(bent, edges=False)["activity_mean"] / np.log(10)
        found = (float(mean.sel(activity_group=name)) for name in ("111", "100"))
        print(f"| {strain:+.2f} | " + " | ".join(f"{one:.2f}" for one in found) + " |")


def width(pulls: list[np.ndarray]) -> str:
    """Return root mean square and mean of pulls as cells of a table."""
    every = np.concatenate([one.ravel() for one in pulls])
    every = every[np.isfinite(every)]
    return f"{np.sqrt((every**2).mean()):.3f} | {every.mean():+.3f}"


def pulls(repeats: int) -> None:
    """Print the width of the pulls of everything that has a standard error."""
    site, noise, bend = sites("truncated_octahedron", 12, 8), 0.04, np.diag([-0.02, 0.01, 0.015])
    print(f"\npulls over {repeats} repeats, {len(site)} atoms, {100 * noise:g} pm along each axis\n")
    print("| what | rms | mean |\n|---|---|---|")
    for meaning in ("local", "in_plane"):
        edge = CELL if meaning == "in_plane" else None

        def made(given: xr.Dataset) -> tuple[xr.Dataset, xr.Dataset, xr.Dataset]:
            found = lattice_constant(facets(given), lattice_constant=CELL)
            active = activity(found, strain=meaning, lattice_constant=edge)  # noqa: B023
            return active, activity_map(active, points=28, step=2.0), displacement(found, resamples=100)

        exact = made(lattice(site, strain=bend))
        seen: dict[str, list[np.ndarray]] = {}
        for seed in range(repeats):
            noisy = made(lattice(site, noise, seed, bend))
            for name, number, error in (
                ("activity of atoms", 0, "activity"),
                ("surface strain of atoms", 0, "surface_strain"),
                ("mean activity", 0, "activity_mean"),
                ("activity of the mean current", 0, "activity_total"),
                ("map of activity", 1, "activity"),
                ("map of surface strain", 1, "surface_strain"),
            ):
                away = noisy[number][error] - exact[number][error]
                seen.setdefault(name, []).append((away / noisy[number][f"{error}_error"]).values)
            away = noisy[2]["facet_mean"] - exact[2]["facet_mean"]
            seen.setdefault("out of plane, means of facets", []).append(
                (away / noisy[2]["facet_mean_measurement_error"]).values
            )
        for name, one in seen.items():
            print(f"| {name} ({meaning}) | {width(one)} |")
    alloy = lattice(sites("cuboctahedron", 5))["position"].values
    species = np.where(np.random.default_rng(0).random(len(alloy)) < 0.7, 78, 28).astype(np.int32)
    flat = activity_alloy(atoms(alloy, noise).assign(species=("atom", species, NONE)), cutoff=3.35)
    drawn = []
    for seed in range(repeats):
        moved = alloy + np.random.default_rng(seed).normal(0, noise, alloy.shape)
        mixed = activity_alloy(atoms(moved, noise).assign(species=("atom", species, NONE)), cutoff=3.35)
        drawn.append(((mixed["activity"] - flat["activity"]) / mixed["activity_error"]).values)
    print(f"| activity in an alloy | {width(drawn)} |")


def planted() -> None:
    """Print how the activity of the strained dumbbell comes back from noisy positions."""
    true = dumbbell(displacement=0.0)
    noise = 0.05
    moved = np.random.default_rng(0).normal(0, noise, true["position"].shape)
    noisy = true.drop_vars("displacement").assign(
        position=true["position"] + moved, sigma=xr.full_like(true["position"], noise)
    )
    made = []
    for given in (true.drop_vars("displacement"), noisy):
        given["position"].attrs["units"] = "angstrom"
        found = activity(lattice_constant(facets(fit(given, type="fcc")), lattice_constant=CELL))
        made.append((found, activity_map(found, points=70, step=1.5)))
    print(f"\nactivity of the dumbbell with its planted strain, {100 * noise:g} pm along each axis\n")
    print("| what | known | rms difference | median error | rms pull |\n|---|---|---|---|---|")
    for name, k in (("atoms", 0), ("map", 1)):
        exact, found = made[0][k], made[1][k]
        away, error = (found["activity"] - exact["activity"]).values, found["activity_error"].values
        known = np.isfinite(away) & np.isfinite(error)
        print(f"| {name} | {known.sum()} | {np.sqrt((away[known] ** 2).mean()):.3f} | {np.median(error[known]):.3f} | "
              f"{np.sqrt(((away / error)[known] ** 2).mean()):.3f} |")  # fmt: skip


def speed() -> None:
    """Print seconds by number of atoms, the second call of each."""
    print("\nseconds, one core\n\n| atoms | surface.atoms | surface.facets | surface.curvature | surface.shape | "
          "surface.activity | surface.activity_map |\n|---|---|---|---|---|---|---|")  # fmt: skip
    for size, cut in ((18, 12), (30, 20), (60, 40)):
        given = lattice(sites("truncated_octahedron", size, cut), 0.05)
        flat = given.assign_attrs(aetx_schema="atoms/1")
        row = [str(given.sizes["atom"])]
        found = lattice_constant(facets(given))
        active = activity(found)
        for stage, one in (
            (surface_atoms, flat),
            (facets, given),
            (curvature, flat),
            (shape, flat),
            (activity, found),
            (activity_map, active),
        ):
            start = time.perf_counter()
            stage(one)
            row.append(f"{time.perf_counter() - start:.2f}")
        print("| " + " | ".join(row) + " |")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=200, help="noisy repeats behind the pulls")
    chosen = parser.parse_args()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AetxWarning)
        surfaces()
        bodies()
        shapes()
        table()
        planted()
        pulls(chosen.repeats)
        speed()


if __name__ == "__main__":
    main()
