"""The noise of a series is drawn where it is known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import xarray as xr

from aetx.draw import draw
from aetx.stages.prepare.noise import noise

Make = Callable[[str], xr.Dataset]


def counted(series: xr.Dataset) -> xr.Dataset:
    generator = np.random.default_rng(0)
    return series.assign(image=series["image"].copy(data=generator.poisson(series["image"] + 1).astype(np.float32)))


def test_the_line_of_the_noise_is_drawn_through_its_blocks(specimen: Make) -> None:
    series = noise(counted(specimen("tilt_series")), block=4)
    picture = next(one for one in draw(series) if one.name == "noise")
    assert picture.png()[:4] == b"\x89PNG"
    figure: Any = picture.figure
    blocks, line = figure.axes[0].lines
    np.testing.assert_allclose(blocks.get_ydata(), series["bin_variance"])
    rise = np.diff(line.get_ydata()) / np.diff(line.get_xdata())
    assert rise == pytest.approx(float(series["gain"][0]))
    assert figure.axes[1].get_ylabel() == "value (counts)"


def test_a_series_that_does_not_tell_its_noise_has_no_such_picture(specimen: Make) -> None:
    assert "noise" not in [one.name for one in draw(specimen("tilt_series"))]


@pytest.mark.filterwarnings("ignore:too few blocks")
def test_noise_that_could_not_be_measured_is_drawn_empty(specimen: Make) -> None:
    series = noise(specimen("tilt_series").isel(tilt=[0]), block=20)
    assert next(one for one in draw(series) if one.name == "noise").png()[:4] == b"\x89PNG"
