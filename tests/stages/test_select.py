"""`prepare.select`: images kept and dropped."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from aetx.errors import InputError
from aetx.stages.prepare.select import SelectParams, select


def test_half_sets_share_no_image_and_leave_none_out(small_series: xr.Dataset) -> None:
    even, odd = (select(small_series, every=2, offset=offset) for offset in (0, 1))
    assert even["tilt"].values.tolist() == [0, 2, 4, 6, 8]
    assert odd["tilt"].values.tolist() == [1, 3, 5, 7]
    np.testing.assert_array_equal(odd["image"], small_series["image"][1::2])
    np.testing.assert_array_equal(odd["theta"], small_series["theta"][1::2])


def test_places_are_those_in_the_series_that_is_given(small_series: xr.Dataset) -> None:
    odd = select(small_series, every=2, offset=1)
    assert select(odd, places=(3, 0))["tilt"].values.tolist() == [1, 7]
    assert select(odd, places=(3, 0), drop=True)["tilt"].values.tolist() == [3, 5]


@given(every=st.integers(2, 5), offset=st.integers(0, 1), tilts=st.integers(4, 12))
def test_what_is_kept_and_what_is_dropped_is_everything(every: int, offset: int, tilts: int) -> None:
    poses = {name: ("tilt", np.zeros(tilts), {"units": "degree"}) for name in ("phi", "theta", "psi")}
    axes = {name: (name, np.zeros(1), {"units": "angstrom"}) for name in "yx"}
    series = xr.Dataset(
        {"image": (("tilt", "y", "x"), np.arange(tilts, dtype=np.float32).reshape(-1, 1, 1), {"units": "1"})},
        {"tilt": ("tilt", np.arange(tilts), {"units": "1"}), **poses, **axes},
    )
    kept, others = (select(series, every=every, offset=offset, drop=drop) for drop in (False, True))
    assert sorted([*kept["tilt"].values, *others["tilt"].values]) == list(range(tilts))


def test_what_contradicts_itself_is_refused(small_series: xr.Dataset) -> None:
    with pytest.raises(ValueError, match="either places or every"):
        SelectParams(places=(1,), every=2)
    with pytest.raises(ValueError, match="must be below every"):
        SelectParams(every=2, offset=2)
    with pytest.raises(ValueError, match="each image once"):
        SelectParams(places=(1, 1))
    with pytest.raises(InputError, match="places below 9"):
        select(small_series, places=(9,))
    with pytest.raises(InputError, match="no image is kept"):
        select(small_series, drop=True)
