"""Atoms as local orbitals, fitted to noise-free multislice images of a Pt decahedron: without a depth, and with it."""

from __future__ import annotations

from pathlib import Path

from aetx.bench._benchmark import Benchmark, Case, Published
from aetx.bench._multislice import DATA, stored
from aetx.bench._recipe import Recipe
from aetx.bench.accuracy_linear import SMALL
from aetx.errors import InputError, Problem

SOURCE = DATA / "lot_pt_decahedron.npz"
FIX = "run python -m tests.benchmarks.make_lot_series FOLDER and put the .npz file that it makes there"
MAO = "Mao, Cui, Yu, local-orbital tomography: 25,790 Pt atoms, multislice, 72 tilts"
PUBLISHED = {"direct": 4.3, "rigid": 2.2, "adaptive": 1.7}
"""Root mean square error of the atoms, pm, by how the probe is taken."""
SAYS = {
    "direct": "the same probe at all depths",
    "rigid": "the probe of the lens at each depth",
    "adaptive": "probes refined pixel by pixel",
}


def decahedron(folder: Path, _: int) -> dict[str, str]:
    """Return the files of the series and of the true atoms; they are written in `folder` where they are not there yet.

    Raises
    ------
    InputError
        If the data are not there.
    """
    if not SOURCE.exists():
        problem = Problem(str(SOURCE), "file", "nothing", "a series simulated by multislice", FIX)
        raise InputError(problem, "the data of this benchmark are missing")
    made = stored(SOURCE, folder)
    return {name: made[name] for name in ("series", "truth")}


accuracy_lot = Benchmark(
    name="accuracy-lot",
    summary="atoms of a decahedron of 2,100 Pt in noise-free multislice images, 72 tilts, as local orbitals",
    cases=tuple(
        Case(
            f"lot-{mode}",
            f"{mode}: {SAYS[mode]}",
            {"refinement": f"{{mode: {mode}}}"},
            (Published(MAO, rmsd_pm=error),),
        )
        for mode, error in PUBLISHED.items()
    ),
    work=Recipe(
        "lot.yaml",
        small=SMALL,
        small_file="linear.yaml",
        drawn=(),
        files=("series", "truth"),
        inputs=decahedron,
    ),
    particles=1,
)
