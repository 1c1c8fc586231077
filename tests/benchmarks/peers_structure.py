"""Compare local structure with freud, pyscal3 and OVITO, in results and in time, in one run.

Run as ``python -m tests.benchmarks.peers_structure --peers PYTHON``, with the interpreter of an environment made by
``python -m venv peers; peers/bin/pip install freud-analysis pyscal3 ovito ase``. Prints processor seconds (user and
system, of the whole process; best of the repetitions) for a ball of 18,056 atoms of fcc, and of 1,000,188 with
``--million``; then how far the answers differ on a perfect ball, a noisy one, decahedra with five twins, a bcc ball
and a glass. Peers are given free boundaries and the tightest box; whoever can uses all threads.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

CUTOFF = 3.4
"""Distance within which atoms are neighbours, angstrom; 3.3 for bcc has both its first shells."""

COMMON = """
import json, resource, sys, warnings
from pathlib import Path
import numpy as np
warnings.simplefilter("ignore")
FOLDER, COUNT, MILLION = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "1"
CUTOFF = float(sys.argv[4])
def spent():
    now = resource.getrusage(resource.RUSAGE_SELF)
    return now.ru_utime + now.ru_stime
def seconds(act, count=COUNT):
    act()
    best = float("inf")
    for _ in range(count):
        began = spent()
        act()
        best = min(best, spent() - began)
    return best
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
position = np.load(FOLDER / "time.npy")
cases = {path.stem: np.load(path) for path in sorted((FOLDER / "cases").glob("*.npy"))}
took, found = {}, {}
def finish(name):
    np.savez(FOLDER / f"{name}.npz", **found)
    print(json.dumps(took))
"""

OURS = """
from aetx.core.atoms import atoms_dataset
from aetx.kernels.neighbours import within
from aetx.kernels.pair_distribution import histogram
from aetx.stages.structure.bond_order import bond_order
from aetx.stages.structure.cna import cna
from aetx.stages.structure.pair_distribution import pair_distribution
from aetx.stages.structure.ptm import ptm
from aetx.stages.structure.voronoi import voronoi
plain = {"averaged": False, "third_order": False, "cutoff": CUTOFF}
atoms = atoms_dataset(position, 78)
took["neighbours"] = seconds(lambda: within(position, CUTOFF))
took["q4 q6"] = seconds(lambda: bond_order(atoms, **plain))
took["fixed CNA"] = seconds(lambda: cna(atoms, method="fixed", cutoff=CUTOFF))
took["adaptive CNA"] = seconds(lambda: cna(atoms))
took["PTM"] = seconds(lambda: ptm(atoms))
took["Voronoi"] = seconds(lambda: voronoi(atoms, reach=CUTOFF))
kind, weight = np.zeros(len(position), np.int64), np.ones(len(position))
took["pairs to 10 A"] = seconds(lambda: histogram(position, kind, 1, weight, 0.02, 500))
took["pairs to 10 A, in their shape"] = seconds(lambda: pair_distribution(atoms, reach=10.0, step=0.02))
if MILLION:
    many = atoms_dataset(np.load(FOLDER / "million.npy"), 78)
    before = peak()
    took["q4 q6, 1M"] = seconds(lambda: bond_order(many, **plain), 1)
    took["GB of it"] = peak()
for name, place in cases.items():
    one = atoms_dataset(place, 78)
    order = bond_order(one, cutoff=CUTOFF)
    for key in ("q4", "q6", "q4_mean", "q6_mean", "w4", "w6"):
        found[f"{name}/{key}"] = order[key].values
    found[f"{name}/cna"] = cna(one, method="fixed", cutoff=CUTOFF)["structure"].values
    found[f"{name}/acna"] = cna(one)["structure"].values
    told = ptm(one)
    found[f"{name}/ptm"], found[f"{name}/rmsd"] = told["structure"].values, told["rmsd"].values
    found[f"{name}/distance"] = told["bond_length"].values
    cell = voronoi(one, least=0.0)
    found[f"{name}/volume"], found[f"{name}/faces"] = cell["voronoi_volume"].values, cell["voronoi_faces"].values
finish("aetx")
"""

OVITO = """
from ovito.data import CutoffNeighborFinder, DataCollection
from ovito.modifiers import (CommonNeighborAnalysisModifier, CoordinationAnalysisModifier,
    PolyhedralTemplateMatchingModifier, VoronoiAnalysisModifier)
def collection(place, gap):
    made = DataCollection()
    made.create_particles(count=len(place)).create_property("Position", data=place)
    low, high = place.min(axis=0) - gap, place.max(axis=0) + gap
    made.create_cell(np.column_stack([np.diag(high - low), low]), pbc=(False, False, False))
    return made
def applied(data, *modifiers):
    data = data.clone()
    for one in modifiers:
        data.apply(one)
    return data.particles
matching = PolyhedralTemplateMatchingModifier(rmsd_cutoff=0.1, output_rmsd=True, output_interatomic_distance=True,
    output_orientation=True, output_deformation_gradient=True)
names = PolyhedralTemplateMatchingModifier.Type
for one in (names.FCC, names.HCP, names.BCC, names.ICO, names.SC, names.CUBIC_DIAMOND):
    matching.structures[one].enabled = True
fixed = CommonNeighborAnalysisModifier(mode=CommonNeighborAnalysisModifier.Mode.FixedCutoff, cutoff=CUTOFF)
cells = VoronoiAnalysisModifier(compute_indices=True)
ball = collection(position, 0.1)
took["neighbours"] = seconds(lambda: CutoffNeighborFinder(CUTOFF, ball).find_all())
took["fixed CNA"] = seconds(lambda: applied(ball, fixed))
took["adaptive CNA"] = seconds(lambda: applied(ball, CommonNeighborAnalysisModifier()))
took["PTM"] = seconds(lambda: applied(ball, matching))
took["Voronoi"] = seconds(lambda: applied(ball, cells))
took["pairs to 10 A"] = seconds(lambda: applied(ball, CoordinationAnalysisModifier(cutoff=10.0, number_of_bins=500)))
TYPES = {names.OTHER: 0, names.FCC: 1, names.HCP: 2, names.BCC: 3, names.ICO: 4, names.SC: 5, names.CUBIC_DIAMOND: 6}
code = np.zeros(32, int)
for key, value in TYPES.items():
    code[int(key)] = value
for name, place in cases.items():
    one = collection(place, 60.0)
    found[f"{name}/cna"] = np.array(applied(one, fixed)["Structure Type"])
    found[f"{name}/acna"] = np.array(applied(one, CommonNeighborAnalysisModifier())["Structure Type"])
    told = applied(one, matching)
    found[f"{name}/ptm"] = code[np.array(told["Structure Type"])]
    found[f"{name}/rmsd"] = np.array(told["RMSD"])
    found[f"{name}/distance"] = np.array(told["Interatomic Distance"])
    told = applied(one, cells)
    found[f"{name}/volume"] = np.array(told["Atomic Volume"])
    found[f"{name}/faces"] = np.array(told["Coordination"])
finish("OVITO")
"""

PYSCAL = """
from ase import Atoms
import pyscal3
def made(place):
    extent = np.ptp(place, axis=0) + 10
    return Atoms(numbers=np.full(len(place), 78), positions=place - place.min(axis=0) + 5, cell=extent, pbc=False)
def orders(place, averaged=False):
    atoms = made(place)
    pyscal3.find_neighbors(atoms, method="cutoff", cutoff=CUTOFF)
    return pyscal3.steinhardt_parameter(atoms, [4, 6], averaged=averaged)
def adaptive():
    return pyscal3.common_neighbor_analysis(made(position))
def listed():
    pyscal3.find_neighbors(made(position), method="cutoff", cutoff=CUTOFF)
took["neighbours"] = seconds(listed)
took["q4 q6"] = seconds(lambda: orders(position))
took["adaptive CNA"] = seconds(adaptive)
if MILLION:
    many = np.load(FOLDER / "million.npy")
    took["q4 q6, 1M"] = seconds(lambda: orders(many), 1)
    took["GB of it"] = peak()
for name, place in cases.items():
    found[f"{name}/q4"], found[f"{name}/q6"] = orders(place)
    found[f"{name}/q4_mean"], found[f"{name}/q6_mean"] = orders(place, True)
finish("pyscal3")
"""

FREUD = """
import freud
def prepared(place):
    edge = 2 * np.abs(place).max() + 10 * CUTOFF
    box = freud.box.Box.cube(edge)
    query = freud.locality.AABBQuery(box, place.astype(np.float32))
    return query, query.query(place.astype(np.float32), {"r_max": CUTOFF, "exclude_ii": True}).toNeighborList()
def orders(place, average=False, w=False):
    query, near = prepared(place)
    return [freud.order.Steinhardt(l=l, average=average, wl=w, wl_normalize=w).compute(query, neighbors=near)
        .particle_order for l in (4, 6)]
took["neighbours"] = seconds(lambda: prepared(position))
took["q4 q6"] = seconds(lambda: orders(position))
if MILLION:
    many = np.load(FOLDER / "million.npy")
    took["q4 q6, 1M"] = seconds(lambda: orders(many), 1)
    took["GB of it"] = peak()
for name, place in cases.items():
    found[f"{name}/q4"], found[f"{name}/q6"] = orders(place)
    found[f"{name}/q4_mean"], found[f"{name}/q6_mean"] = orders(place, True)
    found[f"{name}/w4"], found[f"{name}/w6"] = orders(place, False, True)
finish("freud")
"""

PEERS = {"OVITO": OVITO, "pyscal3": PYSCAL, "freud": FREUD}


def specimens() -> dict[str, NDArray[np.float64]]:
    """Return the particles on which answers are compared, shapes (atoms, 3)."""
    from ase.build import bulk

    from aetx.stages.simulate.amorphous import amorphous
    from aetx.stages.simulate.decahedron import decahedron

    rng = np.random.default_rng(1)
    fcc, bcc = (
        bulk("Pt", "fcc", a=3.92, cubic=True) * (12, 12, 12),
        bulk("Fe", "bcc", a=2.87, cubic=True) * (14, 14, 14),
    )
    made = {}
    for name, crystal in (("perfect", fcc), ("bcc", bcc)):
        place = crystal.positions - crystal.positions.mean(axis=0) + 0.05
        made[name] = place[np.linalg.norm(place, axis=1) < 18]
    made["bcc"] = made["bcc"] + 0.08 * rng.standard_normal(made["bcc"].shape)
    made["noisy"] = made["perfect"] + 0.12 * rng.standard_normal(made["perfect"].shape)
    made["noisy"] = made["noisy"][rng.random(len(made["noisy"])) > 0.02]
    twins = decahedron(atoms=2500)["position"].values
    made["decahedron"] = twins + 0.08 * rng.standard_normal(twins.shape)
    made["glass"] = amorphous(smallest=35.0, largest=36.0)["position"].values
    return made


def run(python: str, program: str, folder: Path, count: int, million: bool) -> dict[str, float]:
    """Run a program in an interpreter and return what it prints."""
    command = [python, "-c", COMMON + program, str(folder), str(count), str(int(million)), str(CUTOFF)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{python} failed:\n{done.stderr[-3000:]}")
    took: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return took


def agreement(ours: dict[str, NDArray[np.float64]], theirs: dict[str, NDArray[np.float64]], peer: str) -> None:
    """Print how far the answers of a peer are from ours, for each specimen and quantity."""
    for key, other in theirs.items():
        name, what = key.split("/")
        mine = ours[key]
        if what in ("cna", "acna", "ptm"):
            same = float((mine == other).mean())
            lost, won = int(((mine == 0) & (other > 0)).sum()), int(((mine > 0) & (other == 0)).sum())
            text = f"{100 * same:.3f} % equal; {lost} only there, {won} only here"
        else:
            if what in ("rmsd", "distance"):
                both = (ours[f"{name}/ptm"] == theirs[f"{name}/ptm"]) & (ours[f"{name}/ptm"] > 0)
            elif what in ("volume", "faces"):
                both = np.isfinite(ours[f"{name}/volume"])
            else:
                both = np.isfinite(mine) & np.isfinite(other)
            off = np.abs(mine[both] - other[both])
            text = (
                f"median {np.median(off):.1e}, most {off.max():.1e} of {both.sum()}" if both.any() else "none in common"
            )
        print(f"  {peer:8s} {name:11s} {what:9s} {text}")


def defective() -> NDArray[np.float64]:
    """Return the particle whose answers are recorded for the tests: five twins, vacancies and noise."""
    from aetx.stages.simulate.decahedron import decahedron

    rng = np.random.default_rng(5)
    place = decahedron(atoms=400)["position"].values
    place = place[rng.random(len(place)) > 0.02]
    return np.asarray(np.round(place + 0.1 * rng.standard_normal(place.shape), 4))


def record(path: Path, place: NDArray[np.float64], told: dict[str, dict[str, NDArray[np.float64]]]) -> None:
    """Write the answers of all peers on one particle."""
    answers = {
        f"{peer} {key.partition('/')[2]}": [float(f"{value:.8g}") for value in values]
        for peer, found in told.items()
        for key, values in found.items()
        if key.startswith("defective/")
    }
    path.write_text(json.dumps({"cutoff": CUTOFF, "position": place.tolist(), "answers": answers}) + "\n", "utf-8")


def main() -> None:
    """Time all, print the ratios, then the differences."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", metavar="PYTHON", help="interpreter that has freud-analysis, pyscal3 and ovito")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--million", action="store_true", help="q4 and q6 of 1,000,188 atoms as well")
    parser.add_argument("--record", type=Path, help="file for the answers on the particle of the tests")
    given = parser.parse_args()
    from aetx.bench._phantom import ball

    with tempfile.TemporaryDirectory() as path:
        folder = Path(path)
        (folder / "cases").mkdir()
        for name, place in specimens().items():
            np.save(folder / "cases" / f"{name}.npy", place)
        np.save(folder / "cases" / "defective.npy", defective())
        np.save(folder / "time.npy", ball(18_056, 0)["position"].values)
        if given.million:
            np.save(folder / "million.npy", ball(1_000_188, 0)["position"].values)
        ours = run(sys.executable, OURS, folder, given.repeat, given.million)
        print("CPU-s: aetx " + ", ".join(f"{case} {taken:.4f}" for case, taken in ours.items()))
        if given.peers is None:
            return
        told = {name: run(given.peers, program, folder, given.repeat, given.million) for name, program in PEERS.items()}
        for name, took in told.items():
            for case, taken in took.items():
                print(f"  {case:14s} {name:8s} {taken:.4f}, aetx {ours[case]:.4f}: ratio {taken / ours[case]:.2f}")
        mine = dict(np.load(folder / "aetx.npz"))
        answers = {name: dict(np.load(folder / f"{name}.npz")) for name in PEERS}
        for name, theirs in answers.items():
            agreement(mine, theirs, name)
        if given.record is not None:
            record(given.record, defective(), answers)


if __name__ == "__main__":
    main()
