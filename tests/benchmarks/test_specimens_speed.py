"""Time to grow, roughen, tessellate and cycle specimens; run with ``--benchmark-enable``."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from aetx.kernels import accretion, cycling, roughening, tessellation


@pytest.mark.parametrize("atoms", [1_000, pytest.param(25_000, marks=pytest.mark.slow)])
def test_growing_a_ball(benchmark: BenchmarkFixture, atoms: int) -> None:
    radius = (atoms / 0.0581 * 3 / (4 * np.pi)) ** (1 / 3)
    room = accretion.capacity(radius, 2.32)
    accretion.grow(np.random.default_rng(0), 5.0, 2.32, 2.53, 3, 100)
    place = benchmark(lambda: accretion.grow(np.random.default_rng(0), radius, 2.32, 2.53, 30, room))
    assert len(place) == pytest.approx(atoms, rel=0.15)


@pytest.mark.parametrize("half", [10, pytest.param(50, marks=pytest.mark.slow)])
def test_adding_a_third_to_a_particle(benchmark: BenchmarkFixture, half: int) -> None:
    lattice = roughening.empty_lattice(half + 8)
    planes = roughening.cut(lattice, roughening.PLANES, np.full(26, half))
    lattice[planes & (lattice == roughening.EMPTY)] = roughening.FILLED
    number = int((lattice == roughening.FILLED).sum()) // 3

    def add() -> int:
        return len(roughening.add(lattice.copy(), number, 1, 0.5, np.random.default_rng(0)))

    assert benchmark(add) == number


@pytest.mark.parametrize("edge", [40.0, pytest.param(200.0, marks=pytest.mark.slow)])
def test_relaxing_a_sheet(benchmark: BenchmarkFixture, edge: float) -> None:
    seeds = tessellation.lloyd(tessellation.discs(edge, 1.9, 100, np.random.default_rng(0)))
    corners, bonds = tessellation.network(seeds, edge / 2 - 3)
    found = benchmark(lambda: tessellation.lengths(tessellation.relax(corners, bonds, 1.42, 200), bonds))
    assert found.std() < 0.1


@pytest.mark.parametrize("edge", [9, pytest.param(40, marks=pytest.mark.slow)])
def test_one_step_of_cycling(benchmark: BenchmarkFixture, edge: int) -> None:
    first: Any = cycling.octahedron(edge)[:2]
    soluble = np.random.default_rng(0).random(int((first[1] >= 0).sum())) < 0.4

    def step() -> int:
        lattice, atom = (one.copy() for one in first)
        cycling.dissolve(lattice, atom, soluble, 0.4, np.random.default_rng(1))
        cycling.move(lattice, atom, 0.1, 0.5, np.random.default_rng(2))
        cycling.drop(lattice, atom)
        return int((atom >= 0).sum())

    assert 0.8 < benchmark(step) / soluble.size < 1
