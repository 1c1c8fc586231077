"""How well, and how fast, the strain of 3,511 atoms is found from positions with 5 pm of noise along each axis.

Run as ``python -m tests.benchmarks.accuracy_strain [--peers PYTHON] [--json]``, with the interpreter of an environment
made by ``python -m venv peers; peers/bin/pip install ovito``. The atoms are the fcc ball around an atom (a = 3.912
angstrom); their displacement is the sum of three plane waves of `WAVE` angstrom, with a strain of 0.216 % root mean
square over the nine components. The error is that of the nine components: over atoms with 12 neighbours, over those
within 5 angstrom of the surface, and over all; `without` counts atoms that get no value, which are in no mean.
Seconds are of the processor, best of five, from positions with sites to strain with standard errors.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from aetx.errors import AetxWarning
from aetx.stages.strain.atoms import atoms
from aetx.stages.strain.local import local
from tests.stages.lattices import EDGE, fcc_ball, lattice_of

F64 = NDArray[np.float64]
ATOMS, NOISE, STRAIN, WAVE, SHELL = 3511, 0.05, 0.00216, 46.0, 5.0

OVITO = """
import json, sys, time
import numpy as np
from ovito.data import DataCollection, Particles, SimulationCell
from ovito.modifiers import AtomicStrainModifier, ElasticStrainModifier
from ovito.pipeline import Pipeline, StaticSource
place = np.load(sys.argv[1])
def collection(position):
    made = DataCollection()
    particles = made.create_particles(count=len(position))
    particles.create_property("Position", data=position)
    cell = np.zeros((3, 4)); cell[:, :3] = np.diag([200.0] * 3); cell[:, 3] = -100
    made.create_cell(cell, pbc=(False, False, False))
    return made
def run(name):
    data = collection(place["position"])
    if name == "atomic":
        modifier = AtomicStrainModifier(cutoff=3.34, output_strain_tensors=True)
        modifier.reference = StaticSource(data=collection(place["site"]))
    else:
        modifier = ElasticStrainModifier(calculate_strain_tensors=True, calculate_deformation_gradients=False,
            push_strain_tensors_forward=True, axial_ratio=1, lattice_constant=float(place["edge"]))
        modifier.input_crystal_structure = ElasticStrainModifier.Lattice.FCC
    began = time.process_time()
    data.apply(modifier)
    spent = time.process_time() - began
    key = "Strain Tensor" if name == "atomic" else "Elastic Strain"
    return np.array(data.particles[key]), spent
made = {}
for name in ("atomic", "elastic"):
    runs = [run(name) for _ in range(5)]
    made[name] = runs[0][0]
    made[name + "_seconds"] = min(one[1] for one in runs)
np.savez(sys.argv[2], **made)
"""


def case(seed: int, spread: bool = False) -> tuple[xr.Dataset, F64]:
    """Return the lattice and its true strain; with `spread`, half of the atoms have errors of 3 and 12 pm by turns."""
    generator, site = np.random.default_rng(seed), fcc_ball(ATOMS)
    place = EDGE * site
    wave = 2 * np.pi / WAVE * np.array([[1, 0, 0], [0, 0.6, 0.8], [-0.6, 0, 0.8]])
    along, phase = np.array([[0.8, 0.6, 0], [0, 0.8, -0.6], [0.6, 0, 0.8]]), np.array([0.3, 1.0, 2.0])
    gradient = np.einsum("nk,ka,kb->nab", np.cos(place @ wave.T + phase), along, wave)
    strain = 0.5 * (gradient + gradient.transpose(0, 2, 1))
    size = STRAIN / np.sqrt((strain**2).mean())
    sigma = np.full((ATOMS, 3), NOISE)
    if spread:
        sigma[:] = generator.choice([0.03, 0.12], ATOMS)[:, None]
    moved = size * np.sin(place @ wave.T + phase) @ along + sigma * generator.normal(size=place.shape)
    return lattice_of(site, moved, sigma=sigma), size * strain


def row(name: str, found: F64, true: F64, error: F64 | None, seconds: float) -> dict[str, Any]:
    """Return errors in percent, the width of error over standard error, and the time."""
    site = EDGE * fcc_ball(ATOMS)
    radius = np.linalg.norm(site, axis=1)
    inside = (np.linalg.norm(site[:, None] - site[None], axis=2) < 1.2 * EDGE / np.sqrt(2)).sum(1) == 13
    known = np.isfinite(found).all(axis=(1, 2))
    off = found - true

    def rms(chosen: NDArray[np.bool_]) -> float:
        return 100 * float(np.sqrt((off[chosen & known] ** 2).mean()))

    pull = float("nan") if error is None else float((off[known] / error[known]).std())
    return {
        "method": name,
        "inside": rms(inside),
        "near_surface": rms(radius > radius.max() - SHELL),
        "all": rms(radius > -1),
        "without": int((~known).sum()),
        "pull": pull,
        "seconds": seconds,
    }


def ours(name: str, stage: Any, lattice: xr.Dataset, true: F64, **options: Any) -> dict[str, Any]:
    """Return the row of one of our stages."""
    spent = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AetxWarning)
        for _ in range(5):
            began = time.process_time()
            made = stage(lattice, **options)
            spent.append(time.process_time() - began)
    return row(name, made["strain"].values, true, made["strain_error"].values, min(spent))


def peers(python: str, lattice: xr.Dataset, true: F64) -> list[dict[str, Any]]:
    """Return the rows of OVITO: with the ideal positions known to it, and without."""
    with tempfile.TemporaryDirectory() as folder:
        given, made = Path(folder) / "given.npz", Path(folder) / "made.npz"
        position = lattice["position"].values
        np.savez(given, position=position, site=position - lattice["displacement"].values, edge=EDGE)
        subprocess.run([python, "-c", OVITO, str(given), str(made)], check=True)
        found = np.load(made)
        rows = []
        for name in ("atomic", "elastic"):
            tensor = found[name][:, [0, 3, 4, 3, 1, 5, 4, 5, 2]].reshape(-1, 3, 3)
            tensor = np.where((tensor == 0).all(axis=(1, 2))[:, None, None], np.nan, tensor)
            rows.append(row(f"OVITO {name} strain", tensor, true, None, float(found[f"{name}_seconds"])))
    return rows


def main() -> None:
    """Print a table, or one JSON object for each row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", help="Python with ovito")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    lattice, true = case(options.seed)
    rows = peers(options.peers, lattice, true) if options.peers else []
    rows.append(ours("strain.local, 12 bonds", local, lattice, true))
    for order in (0, 1):
        for width in (2.0, 2.7, 3.5, 4.5):
            name = f"strain.atoms, order {order}, {width:g} A"
            rows.append(ours(name, atoms, lattice, true, order=order, width=width, density=0.0))
    mixed, true = case(options.seed, spread=True)
    for weights in ("equal", "errors"):
        name = f"errors of 3 or 12 pm, weights {weights}"
        rows.append(ours(name, atoms, mixed, true, weights=weights, density=0.0))
    if options.json:
        print("\n".join(map(json.dumps, rows)))
        return
    print(f"{'root mean square error in percent':38} inside  near surface     all  without  pull   CPU-s")
    for one in rows:
        told = f"{one['inside']:6.3f}  {one['near_surface']:12.3f}  {one['all']:6.3f}  {one['without']:7d}"
        print(f"{one['method']:38} {told}  {one['pull']:4.2f}  {one['seconds']:6.4f}")


if __name__ == "__main__":
    main()
