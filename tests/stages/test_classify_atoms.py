"""`classify.atoms`: planted false peaks go, atoms stay, and the ledger says what went."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr
from numpy.typing import NDArray
from pydantic import ValidationError
from scipy.spatial import cKDTree

from aetx.core import Stage
from aetx.core import peaks as shared
from aetx.core.atoms import atoms_dataset
from aetx.errors import AetxWarning, InputError
from aetx.model import ATOMS, VOLUME
from aetx.stages.classify.atoms import atoms as classify

F64 = NDArray[np.float64]
METHODS: list[dict[str, Any]] = [
    {"method": "two_step"},
    {"method": "templates"},
    {"method": "mixture"},
    {"method": "mixture", "scale": "logarithmic"},
]
STEP = 0.35


def specimen(noise: float = 0.1, two: bool = False, seed: int = 0) -> tuple[xr.Dataset, xr.Dataset, int]:
    """A volume of 343 atoms 3 angstrom apart, and sites at them and at 30 places between and beyond."""
    rng = np.random.default_rng(seed)
    line = (np.arange(7) - 3) * 3.0
    true = np.stack(np.meshgrid(line, line, line, indexing="ij"), -1).reshape(-1, 3)
    height = np.where(rng.random(len(true)) < 0.5, 1.0, 2.5) if two else np.ones(len(true))
    grid = (np.arange(84) - 42) * STEP
    axes = [np.exp(-0.5 * ((grid - true[:, k, None]) / 0.55) ** 2) for k in (2, 1, 0)]
    density = np.einsum("n,nz,ny,nx->zyx", height, *axes, optimize=True) + noise * rng.standard_normal((84,) * 3)
    made = VOLUME.stamp(
        xr.Dataset(
            {"density": (("z", "y", "x"), density.astype(np.float32), {"units": "1/angstrom"})},
            {name: (name, grid, {"units": "angstrom"}) for name in "zyx"},
        )
    )
    anywhere = rng.uniform(-13, 13, (2000, 3))
    false = anywhere[cKDTree(true).query(anywhere)[0] > 2.3][:30]
    assert len(false) == 30
    place = np.concatenate([true + rng.normal(0, 0.1, true.shape), false])
    sites = ATOMS.stamp(atoms_dataset(place, 0))
    return sites.assign_coords(atom=("atom", np.arange(373) + 1000, {"units": "1"})), made, len(true)


@pytest.mark.parametrize("two", [False, True], ids=["one species", "two species"])
@pytest.mark.parametrize("method", METHODS, ids=str)
def test_planted_false_sites_are_rejected_and_all_atoms_stay(method: dict[str, Any], two: bool) -> None:
    sites, made, count = specimen(two=two)
    found = classify(sites, made, species=1 + two, **method)
    kept, told = found["atom"].values, found["ledger_atom"].values
    assert sorted([*kept, *told]) == list(range(1000, 1373))
    assert (kept >= 1000 + count).sum() == 0
    assert (told < 1000 + count).sum() <= ("scale" in method)
    assert found["exists"].values.min() > 0.5
    assert found["intensity"].attrs["units"] == "angstrom**2"
    np.testing.assert_allclose(found["ledger_position"], sites["position"].sel(atom=told))
    assert set(found["ledger_action"].values) == {"removed"}
    assert set(found["ledger_round"].values) == {1}
    assert found["ledger_score"].values.max() < 0.5
    assert np.isnan(found["ledger_r_before"]).all()


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_where_all_sites_are_atoms_none_is_rejected(method: dict[str, Any]) -> None:
    sites, made, count = specimen()
    found = classify(sites.isel(atom=slice(count)), made, **method)
    assert found.sizes["atom"] == count
    assert "entry" not in found.dims
    np.testing.assert_array_equal(found["exists"], 1.0)


def test_what_is_rejected_can_be_kept_with_a_flag() -> None:
    sites, made, count = specimen()
    sites = sites.assign(flag=("atom", np.full(373, 2, np.int32), {"units": "1"}))
    found = classify(sites, made, keep="all")
    assert found.sizes["atom"] == 373
    assert found["flag"].values.tolist() == [2] * count + [66] * 30
    assert found["exists"].values[count:].max() < 0.01
    assert (
        float(found["intensity"][count:].max()) < float(found["threshold"][0]) < float(found["intensity"][:count].min())
    )
    again = classify(found.isel(atom=slice(count)).drop_dims("entry"), made, keep="all")
    assert (again["flag"] == 2).all()


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_heights_of_a_fit_do_without_a_volume(method: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    height = np.concatenate([rng.normal(1, 0.12, 2000), np.abs(rng.normal(0.12, 0.04, 80))])
    column = (height.astype(np.float32), "angstrom**2")
    sites = ATOMS.stamp(atoms_dataset(rng.uniform(-20, 20, (2080, 3)), 78, {"intensity": column}))
    found = classify(sites, None, **method)
    kept = found["atom"].values
    assert (kept < 2000).sum() >= 1997
    assert (kept >= 2000).sum() == 0
    assert found["ledger_score"].values.max() < 0.7
    assert (found["species"] == 78).all()


def test_exists_is_as_often_right_as_it_says() -> None:
    rng = np.random.default_rng(0)
    real = np.arange(8000) < 6000
    height = np.where(real, rng.normal(1, 0.15, 8000), rng.normal(0.5, 0.12, 8000))
    column = (height.astype(np.float32), "1")
    sites = ATOMS.stamp(atoms_dataset(rng.uniform(-20, 20, (8000, 3)), 0, {"intensity": column}))
    found = classify(sites, None, method="mixture", keep="all")
    exists = found["exists"].values
    assert exists.mean() == pytest.approx(0.75, abs=0.02)
    for low in (0.1, 0.4, 0.7):
        some = (exists > low) & (exists < low + 0.2)
        assert real[some].mean() == pytest.approx(exists[some].mean(), abs=0.1)


def test_a_skewed_tail_of_faint_surface_atoms_is_no_class_of_non_atoms() -> None:
    rng = np.random.default_rng(0)
    height = 1 - 0.1 * rng.exponential(1.0, 4000)
    column = (height.astype(np.float32), "1")
    sites = ATOMS.stamp(atoms_dataset(rng.uniform(-20, 20, (4000, 3)), 0, {"intensity": column}))
    assert classify(sites, None, method="mixture").sizes["atom"] == 4000
    assert classify(sites, None, method="mixture", distinct=0.0).sizes["atom"] < 4000


def test_the_support_keeps_what_is_within_and_rejects_what_is_outside() -> None:
    sites, made, count = specimen(noise=0.02)
    place = sites["position"].values
    bright = made.copy(deep=True)
    bright["density"][4:7, 4:7, 4:7] = 3.0  # a speck far outside, as bright as an atom
    far = float(made["x"][5])
    place[-1], place[-2] = far, [1.5, 1.5, 1.5]
    sites = sites.assign(position=(("atom", "axis"), place, {"units": "angstrom"}))
    plain = classify(sites, bright, keep="all")
    assert plain["flag"].values[-2:].tolist() == [64, 0]
    found = classify(sites, bright, keep="all", support=True, support_volume=500.0)
    assert found["flag"].values[-2:].tolist() == [0, 64]
    assert (found["flag"].values[:count] == 0).all()
    told = dict(zip(found["ledger_atom"].values, found["ledger_reason"].values, strict=True))
    assert told[1371] == "faint, but within the support"
    assert told[1372] == "outside the support"
    with pytest.warns(AetxWarning, match="no piece of the volume"), pytest.warns(AetxWarning, match="rejects all"):
        classify(sites, bright, support=True, support_volume=1e6)


def test_the_ledger_goes_on_where_it_was() -> None:
    sites, made, count = specimen()
    first = classify(sites, made, keep="all")
    second = classify(first, made)
    assert second["ledger_round"].values.tolist() == [1] * 30 + [2] * 30
    assert second.sizes["atom"] == count


def test_what_a_person_added_or_accepted_is_not_rejected() -> None:
    sites, made, count = specimen()
    entry = {
        "ledger_action": ("entry", np.array(["accepted", "rejected"])),
        "ledger_author": ("entry", np.array(["a person", "a person"])),
        "ledger_round": ("entry", np.zeros(2, np.int32), {"units": "1"}),
        "ledger_atom": ("entry", np.array([1000 + count, 1001 + count]), {"units": "1"}),
        "ledger_position": (("entry", "axis"), np.zeros((2, 3)), {"units": "angstrom"}),
    }
    found = classify(sites.assign(entry), made, keep="all")
    assert found["flag"].values[count : count + 3].tolist() == [0, 64, 64]
    assert found["ledger_author"].values[:3].tolist() == ["a person", "a person", ""]


def test_blocks_of_the_volume_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    sites, made, _ = specimen()
    whole = classify(sites, made, support=True, support_volume=500.0)
    monkeypatch.setattr(shared, "IN_MEMORY", 25)
    xr.testing.assert_identical(classify(sites, made, support=True, support_volume=500.0), whole)


def test_a_site_without_an_intensity_is_kept_and_a_warning_says_so() -> None:
    column = (np.array([1.0, 1.1, 0.9, np.nan, 0.05, 0.04], np.float32), "1")
    sites = ATOMS.stamp(atoms_dataset(np.arange(18.0).reshape(6, 3), 0, {"intensity": column}))
    with pytest.warns(AetxWarning, match="1 atoms have no intensity"):
        found = classify(sites, None)
    assert found["atom"].values.tolist() == [0, 1, 2, 3]
    assert np.isnan(found["exists"].values[3])


def test_what_does_not_fit_together_is_refused() -> None:
    sites, _, _ = specimen()
    for given, said in (
        ({"distinct": 1.0}, "without distinct"),
        ({"rounds": 3}, "without rounds"),
        ({"support_margin": 2.0}, "need support: true"),
    ):
        with pytest.raises(ValidationError, match=said):
            classify.params(**given)
    with pytest.raises(InputError, match="set support: false"):
        classify(sites.assign(intensity=("atom", np.ones(373, np.float32), {"units": "1"})), None, support=True)
    assert isinstance(classify, Stage)
