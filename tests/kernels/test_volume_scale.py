"""The number that the input of a network is divided by."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from numpy.typing import NDArray

from aetx.core.peaks import Blocks, typical_maximum
from aetx.kernels.volume_scale import volume_scale

F32 = NDArray[np.float32]


def atoms(edge: int = 48, spacing: int = 8, height: float = 5.0, sigma: float = 1.5) -> F32:
    """A cube of Gaussian atoms of one height in vacuum."""
    sites = np.arange(12, edge - 11, spacing)
    line = np.exp(-((np.arange(edge)[:, None] - sites) ** 2) / (2 * sigma**2)).sum(1)
    volume: F32 = (height * np.einsum("i,j,k->ijk", line, line, line)).astype(np.float32)
    return volume


def test_it_is_the_height_of_the_atoms() -> None:
    assert volume_scale(atoms()) == pytest.approx(5.0, rel=0.01)


@pytest.mark.parametrize("factor", [1e-6, 3.0, 1e9])
def test_it_rises_with_the_volume(factor: float) -> None:
    assert volume_scale(np.float32(factor) * atoms()) == pytest.approx(factor * volume_scale(atoms()), rel=0.01)


def test_vacuum_around_the_particle_changes_nothing() -> None:
    assert volume_scale(np.pad(atoms(), 17)) == volume_scale(atoms())


def test_noise_and_a_bright_speck_move_it_little() -> None:
    generator = np.random.default_rng(0)
    volume = atoms(height=1.0) + generator.normal(0, 0.1, (48, 48, 48)).astype(np.float32)
    volume[3, 3, 3] = 2.0
    assert volume_scale(volume) == pytest.approx(1.0, abs=0.2)


def test_a_volume_without_atoms_has_none() -> None:
    assert volume_scale(np.zeros((8, 8, 8), np.float32)) == 0.0
    assert volume_scale(np.full((8, 8, 8), -1.0)) == 0.0


def test_a_volume_read_in_blocks_has_the_same() -> None:
    volume = atoms(height=2.0) + np.random.default_rng(1).normal(0, 0.1, (48, 48, 48)).astype(np.float32)
    axes = {name: (name, np.arange(48.0), {"units": "angstrom"}) for name in "zyx"}
    dataset = xr.Dataset({"density": (("z", "y", "x"), volume, {"units": "1"})}, axes)
    assert typical_maximum(Blocks.of(dataset, None)) == volume_scale(volume)
