"""Alloy particles after a number of potential cycles."""

from __future__ import annotations

import math
from typing import Self

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field, model_validator

from aetx.core import Forecast, InputSizes, Length, stage
from aetx.core.element import Element, atomic_number
from aetx.core.specimens import PoseParams, finish
from aetx.kernels import cycling as kernel
from aetx.kernels.roughening import FILLED, coordination
from aetx.model import ATOMS

NAME = "simulate.cycling"


class CyclingParams(PoseParams):
    """Parameters of `cycling`."""

    cycles: int = Field(0, ge=0, le=1_000_000, description="potential cycles that the particle has gone through")
    interval: int = Field(1000, ge=1, le=1_000_000, description="cycles that one step of the model stands for")
    noble: Element = Field("Pt", min_length=1, max_length=3, description="element that does not dissolve")
    soluble: Element = Field("Ni", min_length=1, max_length=3, description="element that dissolves")
    share: float = Field(0.6, ge=0, le=1, description="share of the noble element among the atoms at the start")
    edge: int = Field(17, ge=2, le=150, description="atoms along an edge of the octahedron at the start")
    lattice_constant: Length = Field(3.764, gt=1, le=20, description="edge of the cubic fcc cell without strain")
    strain: float = Field(-0.02, ge=-0.2, le=0.2, description="strain of the lattice at the start")
    relaxation: float = Field(
        6000.0, gt=0, le=1e9, description="cycles in which the strain falls to 1/e of itself at rates of 1"
    )
    dissolution: float = Field(
        0.4, ge=0, le=1, description="probability in one step that a soluble atom without neighbours dissolves"
    )
    motion: float = Field(0.1, ge=0, le=1, description="share of the surface that moves in one step")
    temperature: float = Field(0.5, gt=0, le=1e6, description="temperature T of that motion, in neighbours")
    rates: float = Field(1.0, ge=0, le=1, description="factor on dissolution, motion and relaxation; 0.3 when doped")
    doping: float = Field(0.0, ge=0, le=0.2, description="share of all atoms that are the dopant, near the surface")
    dopant: Element = Field("Ga", min_length=1, max_length=3, description="element of the dopant, which stays")
    seed: int = Field(0, ge=0, lt=2**63, description="seed of the random numbers")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.cycles % self.interval:
            raise ValueError(f"cycles in whole intervals of {self.interval}")
        if "dopant" in self.model_fields_set and not self.doping:
            raise ValueError("no dopant without doping")
        if len({atomic_number(one) for one in (self.noble, self.soluble, self.dopant)}) < 3:
            raise ValueError("three different elements as noble, soluble and dopant")
        return self

    @property
    def steps(self) -> int:
        """Steps of the model."""
        return self.cycles // self.interval


def _forecast(_: InputSizes, params: CyclingParams) -> Forecast:
    atoms = params.edge * (2 * params.edge**2 + 1) // 3
    places = (2 * (params.edge + kernel.ROOM) + 1) ** 3
    seconds = 0.5 + 1e-5 * atoms + params.steps * 1e-7 * places
    return Forecast({"atom": atoms, "axis": 3}, memory=25 * places + 300 * atoms + 40_000_000, seconds=seconds)


@stage(NAME, takes={}, gives=ATOMS, params=CyclingParams, version=1, forecast=_forecast)
def cycling(params: CyclingParams) -> xr.Dataset:
    """Atoms of an alloy particle after potential cycles: one state of a history that the seed fixes.

    An octahedron of fcc sites is filled at random with both elements, and goes through one step for each `interval`.
    In a step each soluble atom with n of 12 neighbours dissolves with probability = `dissolution` * (1 - n / 12); then
    the share `motion` of the atoms of the surface moves, those with few neighbours first, with probabilities in
    proportion to exp(-n / T), to sites with many, exp(n / T); what no longer hangs together with the particle is lost.
    The lattice has the strain eps(t) = eps_0 exp(-t / tau). `rates` slows all three down.

    Equal parameters with other `cycles` give other states of the same history: an atom keeps its id, which is its
    number at the start, through all of them, also where it moves, and the id of an atom that dissolved is absent. So
    the ids are the true map from state to state. `coordination` counts nearest neighbours, `moves` the steps in which
    the atom came to another site. The centre of the octahedron is the origin in all states. The result is in memory.

    The dopant replaces atoms of both elements at the surface and next to it, before the first step. The doped particles
    of the model are those with `doping` = 0.03 and `rates` = 0.3.

    References
    ----------
    PtNi and Ga-PtNi over potential cycling: https://arxiv.org/abs/2504.16332. Rule of the sites: J. Madsen et al.,
    Advanced Theory and Simulations 1, 1800037 (2018), doi:10.1002/adts.201800037, equation 9.
    """
    first, *seeds = np.random.SeedSequence(params.seed).spawn(1 + params.steps)
    lattice, atom, centre = kernel.octahedron(params.edge)
    species = _species(params, lattice, atom, np.random.default_rng(first))
    soluble = species == atomic_number(params.soluble)
    moves = np.zeros(len(species), np.int32)
    for seed in seeds:
        generator = np.random.default_rng(seed)
        kernel.dissolve(lattice, atom, soluble, params.dissolution * params.rates, generator)
        moves[kernel.move(lattice, atom, params.motion * params.rates, params.temperature, generator)] += 1
        kernel.drop(lattice, atom)
    filled = lattice == FILLED
    order = np.argsort(atom[filled])
    ids = atom[filled][order]
    strain = params.strain * math.exp(-params.cycles * params.rates / params.relaxation)
    edge = params.lattice_constant * (1 + strain)
    made = finish(
        NAME,
        params,
        np.asarray((np.argwhere(filled)[order] - centre) * (edge / 2), np.float64),
        species[ids],
        {
            "coordination": (coordination(lattice)[filled][order].astype(np.float32), "1"),
            "moves": (moves[ids], "1"),
        },
        separation=edge / math.sqrt(2),
        fix="raise 'edge' or 'share', or lower 'cycles' or 'dissolution'",
        about=np.zeros(3),
    )
    return made.assign_coords(atom=("atom", ids.astype(np.int64), {"units": "1"})).assign_attrs(
        cycles=params.cycles, strain=strain
    )


def _species(
    params: CyclingParams, lattice: NDArray[np.int8], atom: NDArray[np.int32], generator: np.random.Generator
) -> NDArray[np.int32]:
    """Return the atomic number of every atom at the start, by its id."""
    count = int((lattice == FILLED).sum())
    species = np.full(count, atomic_number(params.soluble), np.int32)
    species[generator.permutation(count)[: round(params.share * count)]] = atomic_number(params.noble)
    outer = np.sort(atom[kernel.skin(lattice)])
    species[generator.permutation(outer)[: round(params.doping * count)]] = atomic_number(params.dopant)
    return species
