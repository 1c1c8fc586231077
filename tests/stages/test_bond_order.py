"""Bond-orientational order."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from scipy.io import loadmat
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation
from scipy.special import sph_harm_y

from aetx.core.atoms import atoms_dataset
from aetx.errors import InputError
from aetx.kernels.bonds import crystal
from aetx.stages.structure.bond_order import bond_order
from aetx.stages.structure.neighbours import neighbours

IDEAL = {
    "fcc": (0.1909406540, 0.5745242597, -0.1593173731, -0.0131606007),
    "hcp": (0.0972222222, 0.4847616858, 0.1340970, -0.0124420),
    "bcc": (0.0363696484, 0.5106882309, 0.1593173731, 0.0131606007),
    "sc": (0.7637626158, 0.3535533906, 0.1593173731, 0.0131606007),
}
"""q4, q6, w4 and w6: Mickel et al., J. Chem. Phys. 138, 044501 (2013), and Steinhardt et al. (1983), table I."""

Find = Callable[[str], Path]


def star(name: str) -> xr.Dataset:
    """Return an atom with its bonds in a crystal, turned."""
    bonds = crystal(name, 2.77, (8 / 3) ** 0.5).bonds
    turned = np.concatenate([np.zeros((1, 3)), bonds]) @ Rotation.random(random_state=3).as_matrix()
    return atoms_dataset(turned, 78)


def particle(noise: float = 0.1, seed: int = 0) -> xr.Dataset:
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*[np.arange(-4, 5)] * 3, indexing="ij"), -1).reshape(-1, 3)
    sites = grid[(grid.sum(1) % 2 == 0) & (np.linalg.norm(grid, axis=1) < 4.3)] * 1.96
    return atoms_dataset(sites + noise * rng.standard_normal(sites.shape), 78)


@pytest.mark.parametrize("name", IDEAL)
def test_the_crystals_have_their_ideal_values(name: str) -> None:
    cutoff = crystal(name, 2.77, (8 / 3) ** 0.5).cutoff
    found = bond_order(star(name), cutoff=cutoff).isel(atom=0)
    values = [float(found[key]) for key in ("q4", "q6", "w4", "w6")]
    np.testing.assert_allclose(values, IDEAL[name], atol=1e-7)


def test_an_icosahedron_has_no_q4_and_the_greatest_q6() -> None:
    golden = (1 + 5**0.5) / 2
    corners = [np.roll((0, a, b * golden), k) for a in (-1, 1) for b in (-1, 1) for k in range(3)]
    found = bond_order(atoms_dataset(np.array([(0, 0, 0), *corners], float), 78), cutoff=2.0).isel(atom=0)
    assert float(found["q4"]) < 1e-7
    assert float(found["q6"]) == pytest.approx(0.663325, abs=1e-6)
    assert float(found["w6"]) == pytest.approx(-0.169754, abs=1e-6)


def test_every_degree_is_that_of_the_harmonics_of_scipy() -> None:
    atoms, degrees = particle(), (1, 2, 3, 5, 8, 10, 12)
    found = bond_order(atoms, degrees=degrees, cutoff=3.4)
    position = atoms["position"].values
    for i in (0, 60, 137):
        near = [j for j in cKDTree(position).query_ball_point(position[i], 3.4) if j != i]
        x, y, z = (position[near] - position[i]).T
        polar, azimuth = np.arccos(z / np.sqrt(x**2 + y**2 + z**2)), np.arctan2(y, x)
        for degree in degrees:
            mean = [sph_harm_y(degree, m, polar, azimuth).mean() for m in range(-degree, degree + 1)]
            wanted = np.sqrt(4 * np.pi / (2 * degree + 1) * (np.abs(mean) ** 2).sum())
            assert float(found[f"q{degree}"][i]) == pytest.approx(wanted, abs=1e-11)


def test_turning_the_particle_changes_nothing() -> None:
    atoms = particle()
    turned = atoms.copy()
    turned["position"] = atoms["position"].copy(
        data=atoms["position"].values @ Rotation.random(random_state=1).as_matrix()
    )
    one, other = bond_order(atoms, cutoff=3.4), bond_order(turned, cutoff=3.4)
    for name in ("q4", "q6", "q4_mean", "q6_mean", "w4", "w6", "w4_mean", "w6_mean", "bond_order"):
        np.testing.assert_allclose(one[name], other[name], atol=2e-12)


def test_listed_neighbours_are_those_that_count() -> None:
    atoms = neighbours(particle(), cutoff=3.4).isel(atom=slice(None, None, -1))
    xr.testing.assert_allclose(
        bond_order(atoms, shell="listed")["q6_mean"],
        bond_order(particle(), cutoff=3.4)["q6_mean"].isel(atom=slice(None, None, -1)),
    )
    with pytest.raises(InputError, match="no longer there"):
        bond_order(atoms.isel(atom=slice(5, None)), shell="listed")
    with pytest.raises(InputError, match=r"put structure\.neighbours before"):
        bond_order(particle(), shell="listed")
    with pytest.raises(ValueError, match="without cutoff"):
        bond_order(atoms, shell="listed", cutoff=3.0)


def test_an_atom_alone_has_no_order() -> None:
    lonely = atoms_dataset(np.array([[0.0, 0, 0], [2.8, 0, 0], [50.0, 0, 0]]), 78)
    found = bond_order(lonely, cutoff=3.4)
    assert np.isnan(found["q6"].values[2])
    assert np.isnan(found["w6_mean"].values[2])
    assert found["q6"].values[0] == pytest.approx(1.0)
    with pytest.raises(InputError, match="state 'cutoff'"):
        bond_order(lonely.isel(atom=[2]))


def test_no_atoms_have_no_order_and_many_are_done_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    assert bond_order(particle().isel(atom=slice(0, 0)), cutoff=3.0)["q6_mean"].size == 0
    whole = bond_order(particle(), cutoff=3.4, averaged=False)
    monkeypatch.setattr("aetx.stages.structure.bond_order.BLOCK", 7)
    xr.testing.assert_identical(bond_order(particle(), cutoff=3.4, averaged=False), whole)


def test_errors_are_the_scatter_over_noisy_repeats() -> None:
    sigma = 0.05
    names = ("q4", "q6", "q6_mean", "w4_mean", "bond_order")
    truth = particle(0.1)

    def again(seed: int) -> xr.Dataset:
        noise = sigma * np.random.default_rng(seed).standard_normal(truth["position"].shape)
        return truth.assign(position=truth["position"].copy(data=truth["position"].values + noise))

    repeats = [bond_order(again(seed), cutoff=3.4) for seed in range(1, 41)]
    told = truth.assign(sigma=(("atom", "axis"), np.full(truth["position"].shape, sigma), {"units": "angstrom"}))
    found = bond_order(told, cutoff=3.4, draws=40, seed=99)
    for name in names:
        scatter = np.stack([one[name].values for one in repeats]).std(axis=0, ddof=1)
        ratio = np.sqrt((found[f"{name}_error"].values ** 2).mean() / (scatter**2).mean())
        assert ratio == pytest.approx(1.0, abs=0.1), name


def test_an_error_that_depends_on_an_unknown_one_is_unknown() -> None:
    atoms = particle()
    assert np.isnan(bond_order(atoms, cutoff=3.4)["q6_error"]).all()
    sigma = np.full(atoms["position"].shape, 0.05)
    sigma[0] = np.nan
    found = bond_order(atoms.assign(sigma=(("atom", "axis"), sigma, {"units": "angstrom"})), cutoff=3.4, draws=4)
    near = np.linalg.norm(atoms["position"].values - atoms["position"].values[0], axis=1) < 3.4
    np.testing.assert_array_equal(np.isnan(found["q6_error"].values), near)


def read(path: Path, name: str) -> np.ndarray:
    return np.asarray(loadmat(path)[name])


def test_the_published_order_of_the_amorphous_palladium_particle_is_reproduced(real_data: Find) -> None:
    folder = real_data("pd1_nanoparticle")
    position = read(folder / "Final_atomic_model_Pd1_nanoparticle.mat", "modelarr").T
    found = bond_order(atoms_dataset(position, 46), cutoff=3.9, third_order=False)
    published = read(folder / "BOO_order_Pd1.mat", "order").ravel()
    np.testing.assert_allclose(found["bond_order"], published, rtol=0, atol=1e-12)


def test_the_published_order_of_the_metallic_glass_is_reproduced(real_data: Find) -> None:
    folder = real_data("metallic_glass")
    position = read(next(folder.glob("6_Final*/final_atom_coord*.mat")), "final_atom_coord_inAngstrom").T.astype(float)
    found = bond_order(atoms_dataset(position, 78), cutoff=3.688, third_order=False)
    tables = real_data("metallic_glass/7_Data_analysis_sro")
    q4q6 = tables / "boo_q4q6_amorphous_region.mat"
    np.testing.assert_allclose(found["q4_mean"], read(q4q6, "boo_Q4_full").ravel(), rtol=0, atol=1e-12)
    np.testing.assert_allclose(found["q6_mean"], read(q4q6, "boo_Q6_full").ravel(), rtol=0, atol=1e-12)
    scaled = read(tables / "scaled_boo_amorphous_region.mat", "scaled_SROP").ravel()
    np.testing.assert_allclose(found["bond_order"], scaled, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("name", "number"), [("HEA_4", 4), ("HEA_10", 10), ("HEA_22", 22)])
def test_the_published_order_of_the_high_entropy_alloys_is_reproduced(name: str, number: int, real_data: Find) -> None:
    folder = real_data("hea_nucleation")
    cutoff = float(read(folder / "valleyposition.mat", "valleyposition").ravel()[number - 1])
    position = read(next((folder / name).glob("Final_atomic_model*")), "model").T.astype(float)
    published = read(next((folder / name).glob("BOO_*")), "order").ravel()
    found = bond_order(atoms_dataset(position, 78), cutoff=cutoff, third_order=False)
    np.testing.assert_allclose(found["bond_order"], published, rtol=0, atol=1e-12)
