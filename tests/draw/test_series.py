"""4D-STEM, HRTEM and sequences are drawn from few chunks, with what the numbers say in them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dask.array as da
import numpy as np
import pytest
import xarray as xr

from aetx.draw import Picture, draw
from aetx.draw.focal_series import _radial
from aetx.model import FOCAL_SERIES, SCAN_SERIES
from aetx.stages.prepare.frames import frames as prepare_frames
from aetx.stages.prepare.scan import scan

Make = Callable[[str], xr.Dataset]


def good(pictures: list[Picture]) -> list[str]:
    return [picture.name for picture in pictures if picture.png()[:8] == b"\x89PNG\r\n\x1a\n"]


def panels(picture: Picture) -> dict[str, Any]:
    figure: Any = picture.figure
    return {axes.get_title("left"): axes for axes in figure.axes if axes.images}


def test_a_scan_series_is_drawn_as_patterns_virtual_images_and_angles(specimen: Make) -> None:
    series = specimen("scan_series")
    pictures = draw(series)
    assert good(pictures) == ["patterns", "virtual", "angles"]
    assert "the circle is the aperture, 20 mrad" in pictures[0].caption
    assert len(panels(pictures[0])) == 4
    assert good(draw(series.isel(tilt=[0]))) == ["patterns", "virtual"]


def test_virtual_images_are_the_sums_over_the_disc_and_around_it(specimen: Make) -> None:
    series = specimen("scan_series")
    shown = panels(draw(series)[1])
    pattern = series["pattern"].values[0].astype(float)
    q = np.hypot(series["ky"].values[:, None], series["kx"].values[None])
    radius = 0.02 / 0.0196875
    np.testing.assert_allclose(
        shown["bright field"].images[0].get_array(), pattern[..., q <= radius].sum(-1), rtol=1e-5
    )
    outside = pattern[..., q > 1.1 * radius].sum(-1)
    np.testing.assert_allclose(shown["dark field"].images[0].get_array(), outside, rtol=1e-4)
    across = (pattern * series["kx"].values).sum((-1, -2))
    np.testing.assert_allclose(shown["centre of mass, $k_x$"].images[0].get_array(), across, atol=1e-5)
    extent = shown["bright field"].images[0].get_extent()
    half = float(series["scan_x"][1] - series["scan_x"][0]) / 2
    assert extent[0] == pytest.approx(float(series["scan_x"][0]) - half)


def test_a_scan_series_that_does_not_tell_its_aperture_is_drawn_too(specimen: Make) -> None:
    bare = specimen("scan_series").drop_vars(["energy", "semi_angle"])
    pictures = draw(bare)
    assert len(good(pictures)) == 3
    assert "aperture" not in pictures[0].caption


def test_of_a_large_scan_little_is_read() -> None:
    read: list[tuple[int, ...]] = []

    def block(block_info: Any = None) -> np.ndarray:
        read.append(tuple(block_info[None]["chunk-location"]))
        return np.ones(block_info[None]["chunk-shape"], np.float32)

    chunks = ((1,) * 9, (1,) * 200, (200,), (8,), (8,))
    data = da.map_blocks(block, chunks=chunks, dtype=np.float32, meta=np.empty((0,) * 5, np.float32))
    steps = {"scan_y": (200, 0.5, "angstrom"), "scan_x": (200, 0.5, "angstrom")}
    steps |= {"ky": (8, 0.5, "1/angstrom"), "kx": (8, 0.5, "1/angstrom")}
    none = {"units": "degree"}
    series = xr.Dataset(
        {"pattern": (("tilt", "scan_y", "scan_x", "ky", "kx"), data, {"units": "1"})},
        {
            "tilt": ("tilt", np.arange(9), {"units": "1"}),
            **{name: ("tilt", np.linspace(-40, 40, 9), none) for name in ("theta", "phi", "psi")},
            **{key: (key, (np.arange(n) - n // 2) * step, {"units": unit}) for key, (n, step, unit) in steps.items()},
        },
    )
    assert len(good(draw(SCAN_SERIES.stamp(series)))) == 3
    assert len(read) <= 3 * (16 + 1) + 48


def test_a_focal_series_is_drawn_as_images_spectra_and_angles(specimen: Make) -> None:
    series = specimen("focal_series")
    pictures = draw(series)
    assert good(pictures) == ["images", "spectra", "angles"]
    titles = list(panels(pictures[0]))
    assert titles[:3] == [
        "θ = \u221264.0°, Δf = \u221260 Å",
        "θ = \u221264.0°, Δf = 0 Å",
        "θ = \u221264.0°, Δf = +60 Å",
    ]
    assert good(draw(series.isel(tilt=[0], focus=[2]))) == ["images", "spectra"]


def test_white_counts_have_a_spectrum_of_one() -> None:
    counts = np.random.default_rng(0).poisson(30.0, (128, 128)).astype(float)
    q, power = _radial(counts, 0.25)
    assert q[0] == pytest.approx(1 / 32)
    assert q[-1] < 2.0
    assert power[8:].mean() == pytest.approx(1.0, abs=0.03)


def test_a_wave_across_an_image_is_at_its_frequency() -> None:
    x = np.arange(64) * 0.5
    image = 1 + 0.1 * np.cos(2 * np.pi * 0.25 * x)[None, :] * np.ones((64, 1))
    q, power = _radial(image, 0.5)
    assert q[power.argmax()] == pytest.approx(0.25)


def test_raw_frames_are_drawn_with_the_direction_of_their_scan(specimen: Make) -> None:
    series = specimen("raw_series")
    pictures = draw(series)
    assert good(pictures) == ["images", "course", "angles"]
    assert list(panels(pictures[0]))[:2] == ["θ = \u221260.0°, frame 0", "θ = \u221260.0°, frame 1"]
    turned = series.assign_coords(scan_direction=("frame", [0.0, 90.0, 0.0], {"units": "degree"}))
    assert list(panels(draw(turned)[0]))[1] == "θ = \u221260.0°, frame 1, scan 90°"
    assert good(draw(series.isel(tilt=[1]))) == ["images", "course"]


def test_a_series_made_of_frames_is_drawn_with_their_shifts_and_lines(specimen: Make) -> None:
    raw = specimen("raw_series")
    usual = ["images", "intensity", "angles"]
    assert good(draw(prepare_frames(raw))) == [*usual, "frames"]
    assert good(draw(scan(raw, rounds=2))) == [*usual, "frames", "lines"]


def test_a_sequence_is_drawn_as_frames_and_their_course(specimen: Make) -> None:
    pictures = draw(specimen("frames"))
    assert good(pictures) == ["images", "course"]
    assert list(panels(pictures[0])) == [f"frame {number}" for number in range(5)]


def test_an_empty_image_is_drawn_too(specimen: Make) -> None:
    series = specimen("focal_series")
    empty = series.assign(image=series["image"].copy(data=np.zeros(series["image"].shape, np.float32)))
    assert len(good(draw(FOCAL_SERIES.stamp(empty)))) == 3
    scan = specimen("scan_series")
    dark = scan.assign(pattern=scan["pattern"].copy(data=np.zeros(scan["pattern"].shape, np.float32)))
    assert len(good(draw(dark))) == 3
