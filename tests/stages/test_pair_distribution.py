"""structure.pair_distribution"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from numpy.testing import assert_allclose, assert_array_equal
from scipy.io import loadmat
from scipy.spatial.distance import pdist

from aetx.core.atoms import atoms_dataset
from aetx.errors import AetxWarning
from aetx.stages.structure.pair_distribution import pair_distribution

DENSITY = 0.0668


def stamped(position: np.ndarray, species: np.ndarray | int = 78) -> xr.Dataset:
    return atoms_dataset(position, species).assign_attrs(aetx_schema="atoms/1")


def even(radius: float, seed: int) -> np.ndarray:
    """Points without any order in a sphere."""
    generator = np.random.default_rng(seed)
    count = round(4 / 3 * np.pi * radius**3 * DENSITY)
    way = generator.standard_normal((count, 3))
    return radius * way / np.linalg.norm(way, axis=1, keepdims=True) * generator.random((count, 1)) ** (1 / 3)


def crystal(constant: float, cells: int, noise: float = 0.0) -> np.ndarray:
    """An fcc cube."""
    grid = np.stack(np.meshgrid(*[np.arange(2 * cells + 1)] * 3, indexing="ij"), -1).reshape(-1, 3)
    site = grid[grid.sum(axis=1) % 2 == 0] * constant / 2
    return site + noise * np.random.default_rng(0).standard_normal(site.shape)


def test_a_sphere_without_order_has_one_at_all_distances() -> None:
    made = pair_distribution(stamped(even(28.0, 1)), reach=30.0, step=2.0)
    assert_allclose(made["g"], 1.0, atol=0.02)
    share = 1 - 3 * made["distance"] / (4 * 28) + made["distance"] ** 3 / (16 * 28**3)
    assert_allclose(made["filled_share"], share, atol=0.045)  # atoms of the surface look half outwards
    assert float(made["density"]) == pytest.approx(DENSITY, rel=0.03)


def test_the_density_and_the_first_shell_of_a_crystal_are_those_inside() -> None:
    made = pair_distribution(stamped(crystal(3.92, 6, 0.06)), reach=12.0)
    assert float(made["density"]) == pytest.approx(4 / 3.92**3, rel=0.005)
    assert float(made["coordination_number"]) == pytest.approx(12, rel=0.02)
    assert float(made["first_peak"]) == pytest.approx(3.92 / 2**0.5, abs=0.004)
    assert abs(float(made["first_peak"]) - 3.92 / 2**0.5) < 4 * float(made["first_peak_error"])
    assert 2.77 < float(made["first_minimum"]) < 3.92


def test_pairs_are_counted_as_plain_numpy_counts_them() -> None:
    position = crystal(3.92, 2, 0.1)
    species = np.where(np.arange(len(position)) % 3 == 0, 46, 78)
    made = pair_distribution(stamped(position, species), reach=6.0, step=0.2)
    edges = np.linspace(0, 6, 31)
    assert_array_equal(made["count"], 2 * np.histogram(pdist(position)[pdist(position) < 6], edges)[0])
    assert list(made["pair"].values) == ["Pd-Pd", "Pd-Pt", "Pt-Pt"]
    between = np.linalg.norm(position[species == 46][:, None] - position[species == 78], axis=2).ravel()
    assert_array_equal(made["partial_count"].sel(pair="Pd-Pt"), np.histogram(between[between < 6], edges)[0])
    total = made["partial_count"].sel(pair=["Pd-Pd", "Pt-Pt"]).sum("pair") + 2 * made["partial_count"].sel(pair="Pd-Pt")
    assert_array_equal(total, made["count"])


def test_partial_distributions_of_a_random_alloy_are_the_whole_one() -> None:
    position = even(22.0, 2)
    species = np.where(np.random.default_rng(3).random(len(position)) < 0.3, 46, 78)
    made = pair_distribution(stamped(position, species), reach=6.0, step=1.0)
    away = (made["partial_g"] - made["g"]) / made["partial_g_error"]
    assert float(np.abs(away).max()) < 4


def test_errors_are_those_of_counting() -> None:
    many = [pair_distribution(stamped(even(15.0, seed)), reach=8.0, step=1.0, samples=5000) for seed in range(40)]
    scatter = np.std([made["g"].values for made in many], axis=0)
    told = np.mean([made["g_error"].values for made in many], axis=0)
    assert_allclose(scatter[1:4] / told[1:4], 1.0, atol=0.35)


def test_a_body_without_volume_is_told_and_has_no_g() -> None:
    with pytest.warns(AetxWarning, match="holds no volume"):
        made = pair_distribution(stamped(np.eye(3) * 3.0), reach=6.0)
    assert np.isnan(made["g"]).all()
    assert int(made["count"].sum()) == 6


@pytest.mark.parametrize(("part", "step"), [("all_atoms", 0.1), ("amorphous_region", 0.05)])
def test_pairs_of_the_metallic_glass_are_those_published(
    real_data: Callable[[str], Path], part: str, step: float
) -> None:
    folder = real_data("metallic_glass")
    position = loadmat(folder / "6_Final_coordinates/final_atom_coord_inA.mat")["final_atom_coord_inAngstrom"].T
    kind = loadmat(folder / "6_Final_coordinates/final_atom_types.mat")["final_atom_types"].ravel()
    kept = np.ones(len(kind), bool)
    if part == "amorphous_region":
        kept = loadmat(folder / "7_Data_analysis_sro/scaled_boo_amorphous_region.mat")["scaled_SROP"].ravel() < 0.5
    said = loadmat(folder / f"7_Data_analysis_sro/rdf_{part}.mat")
    species = np.array([0, 28, 45, 78])[kind][kept]
    made = pair_distribution(stamped(position.astype(float)[kept], species), reach=20.0, step=step)
    published, count = said["rdf_arr"].ravel(), made["count"].values
    assert count.sum() == published.sum() - kept.sum()
    away = np.cumsum(count) - np.cumsum(published[: len(count)]) + kept.sum()
    assert np.abs(away[:-1]).max() < 4e-4 * count.sum() * step / 0.1
    if part == "all_atoms":
        assert_allclose(made["filled_share"].values[20:150:10], _share(said, step)[20:150:10], atol=0.03)


def _share(said: dict[str, np.ndarray], step: float) -> np.ndarray:
    """The share of shells around atoms in the published alpha shape, of the same radius."""
    outer = said["radius_arr"].ravel()[1:] + step / 2
    shells: np.ndarray = 4 / 3 * np.pi * (outer**3 - (outer - step) ** 3)
    return np.asarray(said["volume_arr"].ravel()[1:] / 18356 / shells)


@pytest.mark.parametrize("name", ["TO", "PB"])
def test_the_first_peak_of_the_published_core_shell_particles(real_data: Callable[[str], Path], name: str) -> None:
    table = loadmat(real_data("pdpt_core_shell") / f"coordinates_{name}.mat")
    made = pair_distribution(stamped(0.3434 * table["pos"].T, np.array([0, 46, 78])[table["type"].ravel()]), step=0.02)
    assert float(made["first_peak"]) == pytest.approx(2.75, abs=0.015)
    assert 3.3 < float(made["first_minimum"]) < 3.45
