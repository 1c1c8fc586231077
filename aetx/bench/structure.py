"""Times of local structure, each measure alone, beside those of other programs on particles as large."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from aetx.bench._benchmark import Benchmark, Case, Published
from aetx.bench._clock import Clock, Timed
from aetx.bench._phantom import ball
from aetx.model import positions

SMALL, LARGE = 18_056, 1_000_188
"""Atoms of the particles."""
CUTOFF = 3.4
"""Distance within which atoms are neighbours, angstrom."""
REACH, STEP = 10.0, 0.02
"""Greatest distance of a pair and step of distances, angstrom."""


def _orders(count: int) -> Callable[[int], Timed]:
    def prepare(seed: int) -> Timed:
        """Find neighbours, q4 and q6."""
        from aetx.stages.structure.bond_order import bond_order

        atoms = ball(count, seed)
        act = lambda: bond_order(atoms, cutoff=CUTOFF, averaged=False, third_order=False)  # noqa: E731
        return Timed(act, score=lambda _: {"atoms": count})

    return prepare


def neighbours(seed: int) -> Timed:
    """List all neighbours within the cutoff, nearest first."""
    from aetx.kernels.neighbours import within

    position = positions(ball(SMALL, seed))
    return Timed(lambda: within(position, CUTOFF), score=lambda _: {"atoms": SMALL})


def templates(seed: int) -> Timed:
    """Match all templates, with orientations and deformation gradients."""
    from aetx.stages.structure.ptm import ptm

    atoms = ball(SMALL, seed)
    return Timed(lambda: ptm(atoms), score=lambda _: {"atoms": SMALL})


def common_neighbours(seed: int) -> Timed:
    """Analyse common neighbours with a cutoff for each atom."""
    from aetx.stages.structure.cna import cna

    atoms = ball(SMALL, seed)
    return Timed(lambda: cna(atoms), score=lambda _: {"atoms": SMALL})


def pair_distances(seed: int) -> Timed:
    """Count pairs by their distance."""
    from aetx.kernels.pair_distribution import histogram

    position, kind, weight = positions(ball(SMALL, seed)), np.zeros(SMALL, np.int64), np.ones(SMALL)
    bins = round(REACH / STEP)
    return Timed(lambda: histogram(position, kind, 1, weight, STEP, bins), score=lambda _: {"atoms": SMALL})


def cells(seed: int) -> Timed:
    """Cut Voronoi cells and count the edges of their faces."""
    from aetx.stages.structure.voronoi import voronoi

    atoms = ball(SMALL, seed)
    return Timed(lambda: voronoi(atoms, reach=CUTOFF), score=lambda _: {"atoms": SMALL})


structure = Benchmark(
    name="structure",
    summary="processor seconds and peak memory of local structure in balls of fcc; each in a fresh process, compiled "
    "before",
    cases=(
        Case(
            "q4q6-18k",
            f"q4 and q6 of {SMALL} atoms, neighbours within {CUTOFF} angstrom included",
            published=(Published("pyscal3 4.1.0", cpu_seconds=0.153), Published("freud 3.4.0", cpu_seconds=0.232)),
        ),
        Case(
            "q4q6-1M",
            f"the same of {LARGE} atoms",
            published=(Published("pyscal3 4.1.0", cpu_seconds=12.4), Published("freud 3.4.0", cpu_seconds=14.6)),
        ),
        Case(
            "neighbours-18k",
            f"all neighbours within {CUTOFF} angstrom, in order of distance",
            published=(Published("OVITO 3.17.2, in no order", cpu_seconds=0.010),),
        ),
        Case(
            "ptm-18k",
            "structure.ptm with all templates",
            published=(Published("OVITO 3.17.2", cpu_seconds=0.286),),
        ),
        Case(
            "cna-18k",
            "structure.cna, adaptive",
            published=(Published("OVITO 3.17.2", cpu_seconds=0.048), Published("pyscal3 4.1.0", cpu_seconds=0.30)),
        ),
        Case(
            "rdf-18k",
            f"pairs up to {REACH:g} angstrom in steps of {STEP} angstrom",
            published=(Published("OVITO 3.17.2", cpu_seconds=0.159), Published("freud 3.4.0", cpu_seconds=0.56)),
        ),
        Case(
            "voronoi-18k",
            "structure.voronoi with indices",
            published=(Published("OVITO 3.17.2", cpu_seconds=0.271), Published("freud 3.4.0", cpu_seconds=0.62)),
        ),
    ),
    work=Clock(
        {
            "q4q6-18k": _orders(SMALL),
            "q4q6-1M": _orders(LARGE),
            "neighbours-18k": neighbours,
            "ptm-18k": templates,
            "cna-18k": common_neighbours,
            "rdf-18k": pair_distances,
            "voronoi-18k": cells,
        }
    ),
    particles=1,
    shown="cpu_seconds",
)
