"""What every stage promises, whatever it does. A stage is covered as soon as its file exists."""

from __future__ import annotations

import inspect
import math
import pickle
import re
import warnings
from collections.abc import Callable
from typing import Any, get_args

import cloudpickle  # type: ignore[import-untyped]
import dask.array as da
import numpy as np
import pytest
import xarray as xr

from aetx.core import Params, Registry, Stage
from aetx.core.params import unit_of
from aetx.errors import AetxWarning
from aetx.model import kind_of
from tests.small_weights import small_weights

NAMES = Registry().stage_names()
LAZY = ("chunkwise", "halo")

COARSE: dict[str, Any] = {"inner": 10.0, "outer": 25.0, "thickness": 4.0, "configurations": 2, "reach": 1.0}

QUICK: dict[str, dict[str, Any]] = {
    "augment.unet": {"weights": small_weights()},
    "align.axis": {"reach": 1.0, "step": 0.5},
    "align.reproject": {"rounds": 1, "iterations": 4, "folds": 2},
    "classify.species": {"elements": ("Fe", "Pt")},
    "lattice.fit": {"type": "fcc", "least": 1},
    "lattice.layers": {"normal": (1, 1, 1), "least": 1},
    "measure.damage": {"width": 0.9, "profile": "gaussian"},
    "measure.hand": {"iterations": 2, "folds": 2},
    "measure.pixel_size": {"lattice_constant": 4.8, "least": 1},
    "measure.r_free": {"iterations": (1, 3), "folds": 2},
    "measure.experiment": {"doses": (1e5,), "tilts": (5, 7), "ranges": (60.0,)},
    "measure.support": {"profile": "gaussian", "width": 0.9},
    "reconstruct.art": {"iterations": 1},
    "reconstruct.cgls": {"iterations": 3},
    "reconstruct.mbir": {"iterations": 3},
    "reconstruct.est": {"iterations": 4},
    "reconstruct.genfire": {"iterations": 4},
    "prepare.bm3d": {"profile": "general"},
    "reconstruct.resire": {"iterations": 4},
    "reconstruct.sart": {"iterations": 2},
    "reconstruct.sirt": {"iterations": 4},
    "reconstruct.tv": {"iterations": 4},
    "refine.images": {"profile": "gaussian", "width": 0.9, "held_out": 1, "rounds": 1},
    "refine.orbitals": {"steps": 2, "inner": 4},
    "simulate.accretion": {"atoms": 200, "diameter": 19.0},
    "simulate.acquisition": {"dose": 1.0, "background": 1.0, "film": 0.1, "shift": 0.3, "drift": 0.4, "jitter": 0.1},
    "simulate.amorphous": {"smallest": 16.0, "largest": 18.0},
    "simulate.core_shell": {"atoms": 200},
    "simulate.decahedron": {"atoms": 146},
    "simulate.dumbbell": {"atoms": 200},
    "simulate.cycling": {"cycles": 2000, "edge": 5, "doping": 0.05},
    "simulate.graphene": {"size": 14.0, "holes": 1, "largest": 3.0},
    "simulate.diffraction": {
        "tilts": 2,
        "scan_rows": 3,
        "scan_columns": 4,
        "scan_step": 2.0,
        "pixels": 16,
        "reciprocal_pixel": 0.125,
        "window": 8.0,
        "sampling": 0.3,
        "thickness": 4.0,
        "dose": 100.0,
    },
    "simulate.hrtem": {
        "tilts": 2,
        "last": 20.0,
        "defocus": (-50.0, 80.0),
        "pixels": 24,
        "pixel_size": 0.8,
        "sampling": 0.4,
        "thickness": 4.0,
        "dose": 50.0,
    },
    "simulate.frames": {"dose": 1.0, "background": 1.0, "drift": 0.4, "jitter": 0.1, "scan_directions": (0.0, 90.0)},
    "simulate.images": {"width_spread": 0.05, "height_spread": 0.1},
    "simulate.multislice": COARSE | {"window": 6.0},
    "simulate.particle": {"smallest": 16.0, "largest": 18.0},
    "simulate.prism": COARSE,
    "simulate.perovskite": {"size": 14.0, "oxygen": True, "displacement": 0.1},
    "simulate.roughened": {"support": 4.0, "buried": 0.2},
    "structure.interface": {"smoothing": 1.0, "layer": 2.0},
    "structure.medium_range_order": {"inner": 3.0, "outer": 4.0, "least": 4},
    "structure.nuclei": {"order": "species", "least": 1},
    "structure.pair_distribution": {"samples": 1000, "reach": 8.0},
    "structure.warren_cowley": {"shuffles": 10},
    "surface.activity_map": {"points": 9},
    "surface.contact": {"normal": (0.0, 0.0, 1.0)},
    "surface.displacement": {"resamples": 100},
    "surface.facets": {"threshold": 2.0},
}
"""Parameters that make a stage quick here; the promises hold for all."""

FRACTIONS = ("simulate.acquisition", "simulate.frames")
"""Stages whose images are fractions of the incident electrons."""

ALLOYS = ("structure.interface",)
"""Stages that need two elements: the atom at the centre is of another."""

LEFT_OUT = {"measure.r_factor": ("atoms",)}
"""Optional inputs that are not given here, as another one excludes them."""

FOUND = {"grain_id"}
"""Axes whose length is a finding, which nobody knows beforehand."""

CUTS: tuple[dict[str, int], ...] = ({"tilt": 1, "z": 9, "y": 7, "x": 24}, {"tilt": 4, "z": 24, "y": 24, "x": 5})

Make = Callable[[str], xr.Dataset]


def inputs(stage: Stage, specimen: Make) -> list[Any]:
    """Return one small dataset for each input; a list becomes two parts that overlap, what is left out none."""
    made: list[Any] = []
    for name, take in stage.takes.items():
        if name in LEFT_OUT.get(stage.name, ()):
            made.append(())
            continue
        whole = specimen(take.kind.name)
        if stage.name in FRACTIONS:
            whole["image"].attrs["units"] = "1"
        if stage.name in ALLOYS:
            whole["species"].values[0] = 46
        if take.form == "many":
            axis = "x" if "x" in whole.dims else next(iter(whole.dims))
            size = whole.sizes[axis]
            parts = slice(0, size * 2 // 3), slice(size // 3, size)
            made.append(tuple(whole.isel({axis: part}) for part in parts))
        else:
            made.append(whole)
    return made


def call(stage: Stage, given: list[Any]) -> xr.Dataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AetxWarning)
        return stage(
            *(None if isinstance(one, tuple) and not one else one for one in given), **QUICK.get(stage.name, {})
        )


def computed(dataset: xr.Dataset) -> xr.Dataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AetxWarning)
        return dataset.compute()


def each(change: Callable[[xr.Dataset], xr.Dataset], given: list[Any]) -> list[Any]:
    return [tuple(map(change, one)) if isinstance(one, tuple) else change(one) for one in given]


@pytest.fixture(params=NAMES)
def stage(request: pytest.FixtureRequest) -> Stage:
    return Registry().stage(request.param)


def test_the_name_is_the_path(stage: Stage) -> None:
    assert stage.function.__module__ == f"aetx.stages.{stage.name}"
    assert stage.function.__name__ == stage.name.partition(".")[2]
    assert stage.version >= 1
    assert stage.flow in ("chunkwise", "halo", "whole")
    assert stage.chunks or stage.flow != "chunkwise"


def test_the_docstring_says_what_comes_out_and_where_it_is_from(stage: Stage) -> None:
    assert 10 < len(stage.summary) <= 110, "one line that says what comes out"
    assert stage.summary.endswith(".")
    assert re.search(r"doi:10\.|https?://| = ", stage.__doc__), "a formula or a reference"


def test_every_parameter_has_a_default_a_bound_and_a_description(stage: Stage) -> None:
    assert issubclass(stage.params, Params)
    stage.params()
    for name, field in stage.params.model_fields.items():
        assert not field.is_required(), name
        assert field.description, name
        assert len(field.description.split()) >= 3, name
        numbers = {int, float} & {field.annotation, *get_args(field.annotation)}
        if numbers or (unit_of(field) and "tuple" not in str(field.annotation)):
            marks = {mark for one in field.metadata for mark in ("gt", "ge", "lt", "le") if hasattr(one, mark)}
            assert marks & {"gt", "ge"}, f"{name} has no lower bound"


def test_inputs_and_resources_are_named_as_declared(stage: Stage) -> None:
    names = list(inspect.signature(stage.function).parameters)
    assert names[: len(stage.takes) + 1] == [*stage.takes, "params"]
    assert set(names[len(stage.takes) + 1 :]) == stage.resources <= {"device", "memory"}


def test_the_result_is_of_the_declared_kind(stage: Stage, specimen: Make) -> None:
    made = call(stage, inputs(stage, specimen))
    assert kind_of(made) is stage.gives
    stage.gives.check(made)
    stage.gives.check(computed(made))


def test_no_grid_takes_twice_the_memory_that_it_should(stage: Stage, specimen: Make) -> None:
    for name, variable in call(stage, inputs(stage, specimen)).variables.items():
        if variable.ndim >= 3 and not {"atom", "grain_id"} & set(variable.dims):
            assert variable.dtype.itemsize <= 4, name


def test_lazy_in_lazy_out(stage: Stage, specimen: Make) -> None:
    if stage.flow not in LAZY or not stage.gives.grid:
        pytest.skip("works on the whole, or gives a table")
    made = call(stage, each(_untouchable, inputs(stage, specimen)))
    grids = [name for name, one in made.data_vars.items() if one.ndim >= 3]
    assert grids
    for name in grids:
        assert made[name].chunks is not None, f"{name} was computed"


def _untouchable(dataset: xr.Dataset) -> xr.Dataset:
    """Put arrays that must not be computed in place of the grids of a dataset."""
    lazy = dataset.copy()
    for name, variable in dataset.data_vars.items():
        if variable.ndim >= 3:
            chunks = da.core.normalize_chunks((2,) * variable.ndim, variable.shape)
            data = da.map_blocks(_refuse, chunks=chunks, dtype=variable.dtype, meta=np.empty((0,) * variable.ndim))
            lazy[name] = (variable.dims, data, variable.attrs)
    return lazy


def _refuse() -> np.ndarray:
    raise AssertionError("a pixel was read")


def test_chunks_do_not_change_the_result(stage: Stage, specimen: Make) -> None:
    whole = computed(call(stage, inputs(stage, specimen)))
    for cuts in CUTS:
        cut = each(lambda one, cuts=cuts: _cut(one, cuts), inputs(stage, specimen))  # type: ignore[misc]
        made = computed(call(stage, cut))
        xr.testing.assert_identical(made, whole)


def _cut(dataset: xr.Dataset, cuts: dict[str, int]) -> xr.Dataset:
    sizes = {axis: size for axis, size in cuts.items() if axis in dataset.dims}
    return dataset.chunk(sizes) if sizes else dataset


def test_the_input_is_left_alone(stage: Stage, specimen: Make) -> None:
    given, pristine = inputs(stage, specimen), inputs(stage, specimen)
    computed(call(stage, given))
    for one, other in zip(given, pristine, strict=True):
        pairs = zip(one, other, strict=True) if isinstance(one, tuple) else [(one, other)]
        for used, fresh in pairs:
            xr.testing.assert_identical(used, fresh)
            for name in fresh.variables:
                assert used[name].attrs == fresh[name].attrs


def test_the_same_call_gives_the_same_bits(stage: Stage, specimen: Make) -> None:
    first, second = (computed(call(stage, inputs(stage, specimen))) for _ in range(2))
    xr.testing.assert_identical(first, second)


def test_stages_and_lazy_results_travel(stage: Stage, specimen: Make) -> None:
    assert pickle.loads(pickle.dumps(stage)) is stage
    chunked = each(lambda one: _cut(one, CUTS[0]), inputs(stage, specimen))
    made = call(stage, chunked)
    travelled = cloudpickle.loads(cloudpickle.dumps(made))
    xr.testing.assert_identical(computed(travelled), computed(made))


def test_the_forecast_is_positive_and_has_the_sizes_of_the_result(stage: Stage, specimen: Make) -> None:
    given = inputs(stage, specimen)
    groups = (one if isinstance(one, tuple) else (one,) for one in given)
    sizes = {
        name: tuple({str(k): v for k, v in one.sizes.items()} for one in group)
        for name, group in zip(stage.takes, groups, strict=True)
    }
    params = stage.params(**QUICK.get(stage.name, {}))
    told = stage.forecast(sizes, params)
    assert told.memory > 0
    assert told.seconds > 0
    assert math.isfinite(told.seconds)
    assert isinstance(told.memory, int)
    made = call(stage, given)
    assert all(size > 0 for size in told.sizes.values())
    grids = [var.dims for name, var in stage.gives.variables.items() if len(var.dims) >= 3 and name in made]
    for axis in {axis for dims in grids for axis in dims} - FOUND:
        if any(take.form == "many" for take in stage.takes.values()):
            assert told.sizes[axis] >= made.sizes[axis], axis
        else:
            assert told.sizes[axis] == made.sizes[axis], axis
