"""Kinds: every way in which a dataset is not what it claims to be is named, from metadata alone."""

from __future__ import annotations

import pickle
from collections.abc import Callable

import dask.array as da
import numpy as np
import pytest
import xarray as xr

from aetx.errors import InputError
from aetx.model import ATOMS, KINDS, LATTICE, TILT_SERIES, VOLUME, kind_of, same_grid, spacing
from aetx.model.units import canonical

Change = Callable[[xr.Dataset], xr.Dataset]


def density(volume: xr.Dataset, **changes: object) -> xr.Dataset:
    variable = volume["density"].variable
    made = {"dims": variable.dims, "data": variable.values, "attrs": variable.attrs} | changes
    return volume.drop_vars("density").assign(density=(made["dims"], made["data"], made["attrs"]))


def test_the_small_specimen_is_of_its_kinds(
    small_volume: xr.Dataset, small_atoms: xr.Dataset, small_series: xr.Dataset
) -> None:
    for kind, dataset in ((VOLUME, small_volume), (ATOMS, small_atoms), (TILT_SERIES, small_series)):
        kind.check(dataset)
        assert kind_of(dataset) is kind


@pytest.mark.parametrize(
    ("change", "field", "found"),
    [
        (lambda v: v.drop_vars("density"), "density", "x, y, z"),
        (lambda v: v.drop_vars("z"), "z", "density, x, y"),
        (lambda v: v.transpose("x", "y", "z"), "density", "dimensions ('x', 'y', 'z')"),
        (lambda v: density(v, data=np.zeros((24, 24, 24), complex)), "density", "dtype complex128"),
        (lambda v: density(v, attrs={}), "density", "units None"),
        (lambda v: density(v, attrs={"units": ""}), "density", "units ''"),
        (lambda v: density(v, attrs={"units": "Å"}), "density", "units 'Å'"),
        (lambda v: density(v, attrs={"units": "nonsense"}), "density", "units 'nonsense'"),
        (lambda v: v.assign_coords(x=("x", v["x"].values, {"units": "nm"})), "x", "units 'nm'"),
        (
            lambda v: v.assign_coords(x=("x", v["x"].values[::-1], {"units": "angstrom"})),
            "x",
            "steps from -0.8 to -0.8",
        ),
        (lambda v: v.assign_coords(x=("x", v["x"].values ** 3, {"units": "angstrom"})), "x", "steps from"),
        (lambda v: v.assign_coords(x=("x", v["x"].values * np.nan, {"units": "angstrom"})), "x", "values that are not"),
        (lambda v: v.isel(x=slice(0, 0)), "x", "no values"),
        (lambda v: v.assign(extra=("x", np.zeros(24))), "extra", "units None"),
    ],
)
def test_each_fault_is_named(small_volume: xr.Dataset, change: Change, field: str, found: str) -> None:
    problems = VOLUME.problems(change(small_volume), "here")
    assert [one.field for one in problems] == [field]
    assert found in problems[0].found
    assert problems[0].file == "here"
    assert problems[0].fix


def test_all_faults_are_told_at_once(small_volume: xr.Dataset) -> None:
    bad = density(small_volume, attrs={}).drop_vars(["z", "y"])
    with pytest.raises(InputError, match="is not a volume") as caught:
        VOLUME.check(bad, "bad.zarr")
    assert sorted(one.field for one in caught.value.problems) == ["density", "y", "z"]
    assert caught.value.code == 3


def test_a_check_reads_no_pixel(small_volume: xr.Dataset) -> None:
    def explode(block: np.ndarray) -> np.ndarray:
        raise AssertionError

    lazy = da.zeros((24, 24, 24), chunks=8, dtype="f4").map_blocks(explode, dtype="f4", meta=np.empty((0, 0, 0), "f4"))
    VOLUME.check(density(small_volume, data=lazy))


def test_unknown_variables_pass_if_they_state_a_unit(small_volume: xr.Dataset) -> None:
    VOLUME.check(small_volume.assign(extra=("x", np.zeros(24), {"units": "kV"}), name=("x", ["a"] * 24)))


def test_the_kind_is_written_on_the_dataset(small_volume: xr.Dataset) -> None:
    assert kind_of(VOLUME.stamp(small_volume.drop_attrs(deep=False))) is VOLUME
    for text in ("", "volume", "volume/9", "nothing/1"):
        with pytest.raises(InputError, match="aetx_schema"):
            kind_of(small_volume.assign_attrs(aetx_schema=text))


def test_a_kind_travels_to_another_process_by_name() -> None:
    for kind in KINDS.values():
        assert pickle.loads(pickle.dumps(kind)) is kind


def test_every_variable_of_every_kind_has_a_meaning_and_canonical_units() -> None:
    for kind in KINDS.values():
        for name, var in kind.variables.items():
            assert var.meaning, name
            assert all(canonical(unit) == unit for unit in var.units), name
        assert set(kind.grid) <= set(kind.variables)


def test_spacing_and_grids(small_volume: xr.Dataset) -> None:
    assert spacing(small_volume, "x") == pytest.approx(0.8)
    with pytest.raises(InputError, match="an axis of one value has no step"):
        spacing(small_volume.isel(x=[0]), "x")
    assert same_grid(small_volume, small_volume.copy())
    moved = small_volume.assign_coords(x=("x", small_volume["x"].values + 0.01, {"units": "angstrom"}))
    assert not same_grid(small_volume, moved)
    assert not same_grid(small_volume, small_volume.isel(z=slice(1, None)))
    unit = small_volume.assign_coords(x=("x", small_volume["x"].values, {"units": "nm"}))
    assert not same_grid(small_volume, unit)


def test_a_lattice_is_a_set_of_atoms_and_not_the_other_way_round() -> None:
    assert LATTICE.is_a(ATOMS)
    assert not ATOMS.is_a(LATTICE)
    assert all(kind.is_a(kind) for kind in KINDS.values())
    assert not VOLUME.is_a(ATOMS)
    for name, variable in ATOMS.variables.items():
        assert LATTICE.variables[name] == variable
