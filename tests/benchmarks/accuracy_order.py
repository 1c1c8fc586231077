"""Pair distributions, order, templates and interfaces against known truth and published answers, and their times.

Run as ``python -m tests.benchmarks.accuracy_order [--repeats 5]``. The data are looked for in the folder named by
``AETX_DATA``, else beside the checkout.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from collections import Counter
from pathlib import Path
from typing import Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.io import loadmat

from aetx.core.atoms import atoms_dataset
from aetx.errors import AetxWarning
from aetx.kernels.alpha_shape import body
from aetx.kernels.neighbours import within
from aetx.kernels.pair_distribution import histogram
from aetx.model import positions
from aetx.stages.simulate.core_shell import core_shell
from aetx.stages.structure.interface import interface
from aetx.stages.structure.medium_range_order import medium_range_order
from aetx.stages.structure.pair_distribution import pair_distribution
from aetx.stages.structure.template import template
from aetx.stages.structure.twin_order import twin_order
from aetx.stages.structure.warren_cowley import warren_cowley

DATA = Path(os.environ.get("AETX_DATA", Path(__file__).parents[3] / "shared" / "data"))
F64 = NDArray[np.float64]
CUTOFFS = {"MEA1": 3.493, "MEA2": 3.439, "HEA1": 3.6}
"""End of the first shell of the published alloys, angstrom."""


def stamped(position: F64, species: NDArray[np.integer] | int = 78) -> xr.Dataset:
    """Return positions as atoms."""
    return atoms_dataset(position, species).assign_attrs(aetx_schema="atoms/1")


def distributions() -> None:
    """Print what g(r) of points without order is, with weights and as whole atoms, and the density inside."""
    print("\npoints without order, .0668 per A^3: mean g from 4 to 20 A (1), and density over the true one (1)\n")
    print("| body | points | g | g of whole atoms | density | of whole atoms |\n|---|---|---|---|---|---|")
    generator = np.random.default_rng(0)
    for name, size in (("ball", 15.0), ("ball", 25.0), ("ball", 40.0), ("rod", 15.0)):
        box = generator.uniform(-1, 1, (round(8 * size**3 * 0.0668 * (3 if name == "rod" else 1)), 3)) * size
        box[:, 2] *= 3 if name == "rod" else 1
        inside = np.linalg.norm(box[:, :2] if name == "rod" else box, axis=1) < size
        point = np.ascontiguousarray(box[inside])
        made = pair_distribution(stamped(point), reach=20.0, step=1.0)
        shape = body(point, 4.0)
        plain = histogram(point, np.zeros(len(point), np.int64), 1, np.ones(len(point)), 1.0, 20).count[:, 0, 0]
        weighed = histogram(point, np.zeros(len(point), np.int64), 1, shape.share(), 1.0, 20).weight[:, 0, 0]
        ratio = (len(point) / shape.share().sum()) ** 2
        whole = made["g"].values * plain / weighed / ratio
        density = float(made["density"]) / 0.0668
        print(
            f"| {name} of {size:g} A | {len(point)} | {made['g'].values[4:].mean():.3f} | {whole[4:].mean():.3f} "
            f"| {density:.3f} | {len(point) / shape.volume.sum() / 0.0668:.3f} |"
        )


def interfaces(repeats: int) -> None:
    """Print the width of interfaces that were made 2, 4.2 and 8 angstrom wide."""
    print("\nwidth of the interface (A), mean and scatter over draws, its error as told\n")
    print("| body | made | composition | told | pure core | told |\n|---|---|---|---|---|---|")
    bodies: tuple[Literal["truncated_octahedron", "sphere", "cube", "octahedron"], ...]
    bodies = ("truncated_octahedron", "sphere", "cube", "octahedron")
    for shape in bodies:
        for width in (2.0, 4.2, 8.0):
            row = [shape, f"{width:g}"]
            for start in ("composition", "pure"):
                made = [
                    interface(core_shell(shape=shape, interface_width=width, seed=seed), start=start)
                    for seed in range(repeats)
                ]
                found = [float(one["interface_width"]) for one in made]
                row += [f"{np.mean(found):.2f} ± {np.std(found):.2f}"]
                row += [f"{np.mean([one['interface_width_error'] for one in made]):.2f}"]
            print("| " + " | ".join(row) + " |")


def published_interfaces() -> None:
    """Print the interfaces of the published particles, by distances and by cubes as published."""
    print("\npublished particles: width (A) fitted, and of the layers by distances and by cubes around the pure core\n")
    print("| particle | fitted | strays (%) | layers | cubes |\n|---|---|---|---|---|")
    for name in ("TO", "PB"):
        table = loadmat(DATA / "pdpt_core_shell" / f"coordinates_{name}.mat")
        atoms = stamped(0.3434 * table["pos"].T.astype(float), np.array([0, 46, 78])[table["type"].ravel()])
        made = interface(atoms)
        cubes = interface(atoms, start="pure", metric="cube", voxel=0.3434, layer=1.03)
        print(
            f"| {name} | {float(made['interface_width']):.2f} ± {float(made['interface_width_error']):.2f} "
            f"| {100 * float(made['interface_stray']):.1f} | {float(made['interface_width_profile']):.2f} "
            f"| {float(cubes['interface_width_profile']):.2f} |"
        )


def stackings() -> None:
    """Print how often signs of the twin order and deviations from the template are the published ones."""
    print("\ntwin order: sign as published (%), and the template's mean deviation within .002 A (%)\n")
    print("| particle | atoms | fcc, fitted to .29 A | hcp | fcc, all with 12 neighbours | hcp | deviation |")
    print("|---|---|---|---|---|---|---|")
    for name, cutoff in CUTOFFS.items():
        folder = DATA / "mea_hea" / name
        position = loadmat(folder / f"model_{name}.mat")["model_refined"].T.astype(float)
        said, ptm = loadmat(folder / f"twin_op_{name}.mat"), np.load(folder / f"ptm_decoded_{name}.npz")
        published, best = said["twin_op"].ravel(), np.minimum(said["fcc_misfit"], said["hcp_misfit"]).ravel()
        full = np.zeros(len(position), bool)
        full[ptm["atom_index0"]] = True
        full &= within(position, cutoff).count == 12
        found = twin_order(stamped(position), cutoff=cutoff)["twin_order"].values
        row = [name, f"{int(full.sum())}"]
        for chosen in (full & (best < 12 * 0.29), full):
            for sign in (-1, 1):
                those = chosen & (np.sign(published) == sign)
                row.append(f"{100 * (np.sign(found[those]) == sign).mean():.2f} of {int(those.sum())}")
        made = template(stamped(position), cutoff=cutoff).isel(atom=ptm["atom_index0"])
        both = (made["template_matched"].values == 12) & (ptm["n_matched"] == 12)
        away = np.abs(made["template_mean"].values[both] - ptm["mean_deviation_A"][both])
        row.append(f"{100 * (away < 0.002).mean():.1f} of {int(both.sum())}")
        print("| " + " | ".join(row) + " |")


def networks() -> None:
    """Print the networks of solutes of the published glass, and those of shuffled species."""
    print("\nnetworks of solutes in the published glass, and with shuffled species\n")
    folder = DATA / "metallic_glass" / "6_Final_coordinates"
    position = loadmat(folder / "final_atom_coord_inA.mat")["final_atom_coord_inAngstrom"].T.astype(float)
    kind = loadmat(folder / "final_atom_types.mat")["final_atom_types"].ravel()
    for name, one in (("published", kind), ("shuffled", np.random.default_rng(0).permutation(kind))):
        made = medium_range_order(
            stamped(position, np.array([0, 28, 45, 78])[one]), solute="Pt", inner=3.858, outer=6.079
        )
        sizes = made["network_atoms"].values
        share = (made["network"].values >= 0).sum() / (one == 3).sum()
        kinds = dict(Counter(made["network_structure"].values.tolist()))
        print(f"{name}: {len(sizes)} networks, {100 * share:.1f} % of the solutes, largest {sizes[:5]}, {kinds}")


def speed() -> None:
    """Print the processor seconds of the stages, the second time that they run."""
    atoms = core_shell(atoms=18_056, displacement=0.1)
    position = positions(atoms)
    kind, weight = np.zeros(len(position), np.int64), np.ones(len(position))
    acts = {
        "pairs to 10 A in 500 bins, counted": lambda: histogram(position, kind, 1, weight, 0.02, 500),
        "structure.pair_distribution of them": lambda: pair_distribution(atoms, reach=10.0, step=0.02),
        "structure.warren_cowley": lambda: warren_cowley(atoms),
        "structure.twin_order": lambda: twin_order(atoms),
        "structure.template": lambda: template(atoms),
        "structure.interface": lambda: interface(atoms),
    }
    print("\nprocessor seconds of 18,056 atoms\n\n| | s |\n|---|---|")
    for name, act in acts.items():
        act()
        began = time.process_time()
        act()
        print(f"| {name} | {time.process_time() - began:.3f} |")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5, help="draws of each interface")
    chosen = parser.parse_args()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AetxWarning)
        distributions()
        interfaces(chosen.repeats)
        if DATA.exists():
            published_interfaces()
            stackings()
            networks()
        speed()


if __name__ == "__main__":
    main()
