"""A stage: checks at the door, layout, stamping, description."""

from __future__ import annotations

import pickle
from collections.abc import Mapping

import numpy as np
import pytest
import xarray as xr
from pydantic import Field

from aetx.core import Forecast, Params, many, optional, stage
from aetx.core.describe import describe
from aetx.errors import InputError
from aetx.model import ATOMS, VOLUME


class ScaleParams(Params):
    """Parameters of `scale`."""

    factor: float = Field(2.0, gt=0, description="factor")


@stage(
    "test.scale",
    takes={"volume": VOLUME},
    gives=VOLUME,
    params=ScaleParams,
    version=4,
    flow="chunkwise",
    chunks={"z": 8, "y": -1, "x": -1},
)
def scale(volume: xr.Dataset, params: ScaleParams) -> xr.Dataset:
    """A volume times a factor.

    More words.
    """
    density = volume["density"] * np.float32(params.factor)
    return volume.assign(density=density.assign_attrs(units="count/angstrom"))


@stage("test.bare", takes={"volume": VOLUME}, gives=VOLUME)
def bare(volume: xr.Dataset, params: Params) -> xr.Dataset:
    """A result whose unit got lost in arithmetic."""
    return volume.assign(density=volume["density"] * 2)


@stage("test.add", takes={"parts": many(VOLUME), "atoms": optional(ATOMS)}, gives=VOLUME)
def add(
    parts: tuple[xr.Dataset, ...], atoms: xr.Dataset | None, params: Params, *, device: str, memory: int | None
) -> xr.Dataset:
    """The first of many volumes, with what was handed in as attributes."""
    return parts[0].assign_attrs(count=len(parts), atoms=atoms is not None, device=device, memory=memory)


@stage("test.shift", takes={"volume": VOLUME}, gives=VOLUME)
def shift(volume: xr.Dataset, params: Params) -> xr.Dataset:
    """A sum over grids that differ in the last digit."""
    moved = volume.assign_coords(x=("x", volume["x"].values + 1e-9, {"units": "angstrom"}))
    return volume.assign(density=(volume["density"] + moved["density"]).assign_attrs(units="count/angstrom"))


def test_parameters_may_be_given_by_name_or_whole(small_volume: xr.Dataset) -> None:
    by_name = scale(small_volume, factor=3.0)
    whole = scale(small_volume, params=ScaleParams(factor=3.0))
    xr.testing.assert_identical(by_name, whole)
    xr.testing.assert_allclose(by_name["density"], 3 * small_volume["density"])
    xr.testing.assert_identical(by_name, scale(volume=small_volume, factor=3.0))
    with pytest.raises(TypeError, match="not both"):
        scale(small_volume, params=ScaleParams(), factor=3.0)
    with pytest.raises(TypeError, match="needs 'volume'"):
        scale(factor=3.0)
    with pytest.raises(TypeError, match="takes 1 datasets, 2 were given"):
        scale(small_volume, small_volume)


def test_what_comes_in_is_checked_at_the_door(small_volume: xr.Dataset, small_atoms: xr.Dataset) -> None:
    with pytest.raises(InputError, match=r"test\.scale: volume is not a volume"):
        scale(small_atoms)
    with pytest.raises(InputError, match=r"density.*units"):
        scale(small_volume.assign(density=small_volume["density"].drop_attrs()))


def test_what_goes_out_is_checked_too_and_units_do_not_survive_arithmetic(small_volume: xr.Dataset) -> None:
    with pytest.raises(InputError, match=r"the result of test\.bare is not a volume"):
        bare(small_volume)


def test_axes_that_do_not_line_up_are_an_error_not_an_empty_result(small_volume: xr.Dataset) -> None:
    with pytest.raises(xr.AlignmentError):
        shift(small_volume)


def test_a_chunkwise_stage_gets_the_layout_that_it_declares(small_volume: xr.Dataset) -> None:
    made = scale(small_volume.chunk({"z": 5, "y": 7, "x": 9}))
    assert made.chunksizes["z"] == (8, 8, 8)
    assert made.chunksizes["x"] == (24,)
    assert not scale(small_volume).chunks


def test_a_stage_is_handed_the_resources_that_it_names_and_no_others(
    small_volume: xr.Dataset, small_atoms: xr.Dataset
) -> None:
    made = add((small_volume, small_volume), device="cuda:1", memory=5)
    assert made.attrs["count"] == 2
    assert not made.attrs["atoms"]
    assert (made.attrs["device"], made.attrs["memory"]) == ("cuda:1", 5)
    assert add((small_volume,), small_atoms).attrs["atoms"]
    assert add.resources == {"device", "memory"}
    assert scale.resources == frozenset()


def test_a_result_is_stamped_with_its_kind(small_volume: xr.Dataset) -> None:
    assert scale(small_volume.drop_attrs(deep=False)).attrs["aetx_schema"] == "volume/1"


def test_a_stage_travels_to_another_process_by_name() -> None:
    from aetx.stages.prepare.normalise import normalise

    assert pickle.loads(pickle.dumps(normalise)) is normalise


def test_the_default_forecast_is_that_of_a_stream(small_volume: xr.Dataset) -> None:
    told = scale.forecast({"volume": ({"z": 100, "y": 100, "x": 100},)}, ScaleParams())
    assert isinstance(told, Forecast)
    assert told.sizes == {"z": 100, "y": 100, "x": 100}
    assert told.memory == 16 * 10**6


def test_a_forecast_of_its_own_is_used() -> None:
    def forecast(inputs: Mapping[str, object], params: Params) -> Forecast:
        return Forecast({"atom": 7}, 1, 2.0)

    @stage("test.told", takes={}, gives=ATOMS, forecast=forecast)
    def told(params: Params) -> xr.Dataset:
        """Nothing."""
        return xr.Dataset()

    assert told.forecast({}, Params()).sizes == {"atom": 7}


def test_a_description_says_everything_that_help_needs() -> None:
    told = describe(scale)
    assert (told["name"], told["version"], told["flow"]) == ("test.scale", 4, "chunkwise")
    assert told["summary"] == "A volume times a factor."
    assert told["text"] == "More words."
    assert (told["takes"], told["gives"]) == ({"volume": "volume"}, "volume")
    assert told["parameters"][0]["name"] == "factor"
    assert describe(add)["takes"] == {"parts": "a list of volume", "atoms": "atoms, may be left out"}
    assert describe(add)["resources"] == ["device", "memory"]
