from __future__ import annotations

import numpy as np
import xarray as xr

from aetx.draw import draw
from aetx.draw.alignment import alignment
from aetx.stages.align.axis import axis
from aetx.stages.align.centre import centre
from aetx.stages.align.reproject import reproject


def names(series: xr.Dataset) -> list[str]:
    return [picture.name for picture in alignment(series)]


def test_a_series_that_was_not_aligned_has_no_pictures_of_it(small_series: xr.Dataset) -> None:
    assert names(small_series) == []


def test_each_stage_adds_what_it_found(small_series: xr.Dataset) -> None:
    centred = centre(small_series, margin=1.6)
    assert names(centred) == ["alignment", "alignment-changes"]
    turned = axis(centred, position=False, reach=1.0, step=0.5)
    assert names(turned) == ["alignment", "alignment-changes", "tilt-axis"]
    matched = reproject(turned, rounds=1, iterations=4, folds=2)
    assert names(matched)[-1] == "alignment-r-free"
    pictures = draw(matched)
    assert all(picture.png().startswith(b"\x89PNG") for picture in pictures[-4:])


def test_before_is_now_moved_by_the_shifts(small_series: xr.Dataset) -> None:
    step = small_series["x"].values[1] - small_series["x"].values[0]
    count = small_series.sizes["tilt"]
    told = {"units": "angstrom"}
    moved = small_series.assign(
        shift_x=("tilt", np.full(count, 3 * step), told), shift_y=("tilt", np.full(count, -2 * step), told)
    )
    panels = alignment(moved)[0].figure.axes[:4]
    shown = [np.asarray(axes.collections[0].get_array()) for axes in panels]
    np.testing.assert_allclose(shown[0][:-2], shown[1][2:], atol=1e-6)
    np.testing.assert_allclose(shown[2][3:], shown[3][:-3], atol=1e-6)
