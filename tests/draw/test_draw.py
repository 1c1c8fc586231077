"""Every kind is drawn: from little data read, with the right geometry, without touching matplotlib's settings."""

import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import matplotlib
import numpy as np
import pytest
import scipy.io
import xarray as xr

from aetx.draw import Picture, draw, style
from aetx.draw.tilt_series import beam_directions
from aetx.model import ATOMS, FIELD, FILE, SCORE, TILT_SERIES, VOLUME

ONE, LENGTH, DEGREE = {"units": "1"}, {"units": "angstrom"}, {"units": "degree"}


def grid(shape: tuple[int, ...], names: str = "zyx", step: float = 0.4) -> dict[str, Any]:
    return {name: (name, (np.arange(n) - n // 2) * step, LENGTH) for name, n in zip(names, shape, strict=True)}


def series(theta: np.ndarray, phi: float = 0.0, size: int = 24) -> xr.Dataset:
    count = theta.size
    images = np.random.default_rng(0).poisson(9, (count, size, size + 3)).astype(np.float32)
    poses = {"theta": theta, "phi": np.linspace(0, phi, count), "psi": np.zeros(count)}
    return TILT_SERIES.stamp(
        xr.Dataset(
            {"image": (("tilt", "y", "x"), images, {"units": "count"})},
            {
                "tilt": ("tilt", np.arange(count), ONE),
                **{name: ("tilt", values, DEGREE) for name, values in poses.items()},
                **grid((size, size + 3), "yx"),
            },
        )
    )


def volume(**more: Any) -> xr.Dataset:
    shape = (20, 24, 28)
    density = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    return VOLUME.stamp(
        xr.Dataset({"density": (("z", "y", "x"), density, {"units": "1/angstrom"}), **more}, grid(shape))
    )


def atoms(count: int = 60, species: tuple[int, ...] = (78, 26)) -> xr.Dataset:
    rng = np.random.default_rng(0)
    return ATOMS.stamp(
        xr.Dataset(
            {
                "position": (("atom", "axis"), rng.uniform(-10, 10, (count, 3)), LENGTH),
                "species": ("atom", rng.choice(np.array(species, np.int32), count), ONE),
                "intensity": ("atom", rng.uniform(1, 2, count).astype(np.float32), {"units": "count"}),
                "sigma": (("atom", "axis"), rng.uniform(0.01, 0.1, (count, 3)), LENGTH),
            },
            {"atom": ("atom", np.arange(count), ONE), "axis": ["x", "y", "z"]},
        )
    )


def shapes(pictures: list[Picture]) -> list[tuple[str, bool]]:
    return [(picture.name, picture.png()[:8] == b"\x89PNG\r\n\x1a\n") for picture in pictures]


def texts(picture: Picture) -> str:
    figure: Any = picture.figure
    found = []
    for axes in figure.axes:
        found += [axes.get_xlabel(), axes.get_ylabel(), axes.get_title("left"), *(one.get_text() for one in axes.texts)]
    return " | ".join(found)


def test_a_tilt_series_is_drawn_as_images_intensity_and_angles() -> None:
    pictures = draw(series(np.linspace(-60, 60, 13)))
    assert shapes(pictures) == [("images", True), ("intensity", True), ("angles", True)]
    assert "image 6, θ = +0.0°" in texts(pictures[0])
    assert "intensity (counts)" in texts(pictures[1])
    assert "wedge of 60.0°" in pictures[2].caption


def test_a_simulated_series_shows_its_errors_where_it_has_any() -> None:
    plain = series(np.linspace(-60, 60, 13))
    exact = plain.assign(true_theta=plain["theta"].variable, true_blur=("tilt", np.zeros(13), LENGTH))
    assert [picture.name for picture in draw(exact)] == ["images", "intensity", "angles"]
    wrong = exact.assign(
        true_theta=("tilt", plain["theta"].values + 0.3, DEGREE), true_shift_x=("tilt", np.ones(13), LENGTH)
    )
    picture = draw(wrong)[3]
    assert shapes([picture]) == [("errors", True)]
    figure: Any = picture.figure
    drawn = {line.get_label(): line.get_ydata() for axes in figure.axes for line in axes.lines}
    assert sorted(drawn) == ["shift x", "θ"]
    np.testing.assert_allclose(drawn["θ"], 0.3)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_short_tilt_series_is_drawn_too(count: int) -> None:
    assert all(good for _, good in shapes(draw(series(np.linspace(-10, 20, count)))))


def test_tilts_about_many_axes_are_drawn_on_a_hemisphere() -> None:
    given = series(np.linspace(-60, 60, 9), phi=90.0)
    pictures = draw(given)
    assert "9 beam directions" in pictures[2].caption
    assert "image number" in texts(pictures[1])
    np.testing.assert_allclose(np.linalg.norm(beam_directions(given), axis=1), 1)


def test_the_beam_at_positive_tilt_leans_towards_positive_x() -> None:
    np.testing.assert_allclose(beam_directions(series(np.array([30.0])))[0], [0.5, 0, np.sqrt(3) / 2], atol=1e-12)


def test_a_volume_is_drawn_as_slices_projections_and_power() -> None:
    assert shapes(draw(volume())) == [("slices", True), ("projections", True), ("power", True)]


def test_a_volume_that_knows_its_tilts_gets_its_wedge_on_the_right_side() -> None:
    theta = np.arange(-60.0, 31.0, 3.0)
    more = {"theta": ("tilt", theta, DEGREE), "r1": ("tilt", theta * 0 + 0.1, ONE)}
    given = volume(**more).set_coords("theta")
    pictures = draw(VOLUME.stamp(given))
    assert [picture.name for picture in pictures] == ["slices", "projections", "power", "agreement"]
    assert "missing wedge of 90.0°" in pictures[2].caption
    figure: Any = pictures[2].figure
    slopes = {round(line.get_ydata()[1] / line.get_xdata()[1], 2) for line in figure.axes[0].lines}
    # p_x = cos(theta) x - sin(theta) z: image i measures kz = -tan(theta) kx, so +30 and -60 degree bound the wedge
    assert slopes == {-0.58, 1.73}


def test_a_volume_of_one_slice_is_drawn_without_a_spectrum() -> None:
    assert [name for name, _ in shapes(draw(volume().isel(z=[3])))] == ["slices", "projections"]


def test_on_measured_data_the_drawn_wedge_is_darker_than_its_mirror_image() -> None:
    folder = Path(os.environ.get("AETX_DATA", Path(__file__).parents[2].parent / "shared" / "data")) / "ta_film_saet"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there: the side of the wedge was not checked on measured data")
    theta = scipy.io.loadmat(folder / "angles.mat")["angle"][:, 1].astype(float)
    density = scipy.io.loadmat(folder / "reconstructions" / "ReconObj_sub22.mat")["reconstruction"].transpose(2, 1, 0)
    given = xr.Dataset(
        {"density": (("z", "y", "x"), density, {"units": "count/angstrom"}), "theta": ("tilt", theta, DEGREE)},
        grid(density.shape, step=0.3216),
    )
    figure: Any = draw(VOLUME.stamp(given))[2].figure
    axes = figure.axes[0]
    ends = sorted(np.rad2deg(np.arctan2(*line.get_xydata()[1][::-1])) % 180 for line in axes.lines)
    shown, (left, right, low, high) = axes.images[0].get_array(), axes.images[0].get_extent()
    x, z = np.meshgrid(np.linspace(left, right, shown.shape[1]), np.linspace(low, high, shown.shape[0]))
    angle, radius = np.rad2deg(np.arctan2(z, x)) % 180, np.hypot(x, z)

    def inside(turned: np.ndarray) -> np.ndarray:
        return (turned > ends[0] + 0.5) & (turned < ends[1] - 0.5)

    band = (radius > 0.7) & (radius < 1.5)
    only_drawn, only_mirrored = inside(angle) & ~inside(180 - angle), inside(180 - angle) & ~inside(angle)
    power = 10.0**shown
    assert power[band & only_drawn].mean() < power[band & only_mirrored].mean() / 3


def test_evenly_spread_tilts_leave_no_wedge() -> None:
    given = volume(theta=("tilt", np.arange(-90.0, 90.0, 5.0), DEGREE))
    assert "leave no wedge" in draw(given)[2].caption


def test_slices_go_through_the_rotation_centre() -> None:
    given = volume()
    figure: Any = draw(given)[0].figure
    shown = [axes.images[0].get_array() for axes in figure.axes[:3]]
    density = given["density"]
    np.testing.assert_array_equal(shown[0], density.sel(z=0.0))
    np.testing.assert_array_equal(shown[1], density.sel(y=0.0))
    np.testing.assert_array_equal(shown[2], density.sel(x=0.0).T)
    assert [axes.get_title("left") for axes in figure.axes[:3]] == ["z = 0.0 Å", "y = 0.0 Å", "x = 0.0 Å"]


def test_projections_are_sums_times_the_step() -> None:
    given = volume()
    figure: Any = draw(given)[1].figure
    shown = [axes.images[0].get_array() for axes in figure.axes[:3]]
    density = given["density"].values * 0.4
    np.testing.assert_allclose(shown[0], density.sum(0), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(shown[1], density.sum(1), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(shown[2], density.sum(2).T, rtol=1e-5, atol=1e-5)


def test_a_large_volume_is_read_in_slices_and_central_blocks_only() -> None:
    read = []

    def block(block_info: Any = None) -> np.ndarray:
        box = block_info[None]["array-location"]
        read.append(box)
        return np.zeros([b - a for a, b in box], np.float32)

    shape = (64, 64, 1280)
    density = da.map_blocks(block, chunks=((64,), (64,), (64,) * 20), dtype=np.float32, meta=np.empty((0, 0, 0), "f4"))
    given = VOLUME.stamp(xr.Dataset({"density": (("z", "y", "x"), density, {"units": "1"})}, grid(shape)))
    with dask.config.set(scheduler="synchronous"):
        pictures = draw(given)
    ends = [box[2][0] for box in read if box[2][0] in (0, 1216)]
    assert 0 < len(ends) <= 4  # the slices along z and y; neither the projections nor the power
    assert "of the central 384 × 64 × 64" in pictures[1].caption


def test_atoms_are_drawn_in_three_directions_with_their_distances_and_properties() -> None:
    pictures = draw(atoms())
    names = ("projections", "section", "distances", "properties", "error-bars")
    assert shapes(pictures) == [(name, True) for name in names]
    assert "distance (Å)" in texts(pictures[2])
    assert "standard error (Å)" in texts(pictures[3])


@pytest.mark.parametrize(("count", "names"), [(0, []), (1, ["projections", "distances", "properties"])])
def test_no_atoms_and_one_atom_are_drawn_too(count: int, names: list[str]) -> None:
    assert [name for name, good in shapes(draw(atoms(count))) if good] == names


def test_atoms_of_unknown_species_are_called_unknown() -> None:
    assert (
        "60 atoms (unknown species)"
        in draw(ATOMS.stamp(atoms(species=(0,)).drop_vars(["intensity", "sigma"])))[0].caption
    )


def test_atoms_that_are_nowhere_are_left_out() -> None:
    given = atoms()
    given["position"][3] = np.nan
    assert draw(given)[0].caption.startswith("59 atoms")


def test_the_distance_picture_gives_the_nearest_neighbour_of_a_lattice() -> None:
    points = np.stack(np.meshgrid(*[np.arange(5) * 2.5] * 3), -1).reshape(-1, 3)
    given = atoms(len(points))
    given["position"] = (("atom", "axis"), points, LENGTH)
    assert "median 2.500 Å, closest pair 2.500 Å" in draw(given)[2].caption


def cube(**columns: Any) -> xr.Dataset:
    points = np.stack(np.meshgrid(*[np.arange(5) * 2.5] * 3), -1).reshape(-1, 3)
    given = atoms(len(points), species=(78,)).drop_vars(["intensity", "sigma"])
    return given.assign(position=(("atom", "axis"), points - 5, LENGTH), **columns)


def discs_of(axes: Any) -> np.ndarray:
    return np.asarray(axes.collections[0].get_offsets())


def test_one_species_without_anything_inside_needs_no_section() -> None:
    assert [picture.name for picture in draw(cube())] == ["projections", "distances"]


def test_a_section_holds_the_layer_in_the_middle_and_colours_the_grains() -> None:
    grain = np.where(np.arange(125) % 25 < 5, -1, np.arange(125) // 75).astype(np.int32)
    section = draw(cube(grain=("atom", grain, ONE)))[1]
    figure: Any = section.figure
    assert [len(discs_of(axes)) for axes in figure.axes] == [25, 25, 25]
    assert [text.get_text() for text in figure.legends[0].texts] == ["no grain", "grain 0", "grain 1"]
    colours = {tuple(one) for axes in figure.axes for one in np.round(axes.collections[0].get_facecolor(), 3)}
    assert len(colours) == 3


def test_vectors_of_atoms_are_arrows_in_the_plane_of_the_section() -> None:
    moved = np.tile([0.02, 0.0, 0.0], (125, 1))
    moved[:10] = np.nan
    section = draw(cube(displacement=(("atom", "axis"), moved, LENGTH)))[1]
    assert "arrows: displacement, 100 times as long" in section.caption
    figure: Any = section.figure
    for axes, across in zip(figure.axes, "xxz", strict=True):
        quiver = axes.collections[1]
        expected = 2.0 if across == "x" else 0.0
        np.testing.assert_allclose(quiver.U, expected, atol=1e-12)
        np.testing.assert_allclose(quiver.V, 0.0, atol=1e-12)


def test_a_flat_specimen_has_room_for_its_title_and_scale_bar() -> None:
    given = cube()
    given["position"][:, 2] = 0.0
    figure: Any = draw(given)[0].figure
    widths = [np.ptp(axes.get_xlim()) for axes in figure.axes]
    assert min(widths) >= 0.29 * max(widths)


def test_scores_are_drawn_by_tilt_by_iteration_and_as_distributions() -> None:
    given = xr.Dataset(
        {
            "r1": ("tilt", np.array([0.1, 0.3, np.nan]), ONE),
            "r1_history": ("iteration", np.geomspace(1, 0.01, 20), ONE),
            "distance": ("match", np.linspace(0, 1, 30), LENGTH),
            "difference": (("match", "axis"), np.random.default_rng(0).normal(size=(30, 3)), LENGTH),
            "rmsd": ((), 0.1, LENGTH),
        },
        {"theta": ("tilt", [-10.0, 0.0, 10.0], DEGREE), "axis": ["x", "y", "z"]},
    )
    pictures = draw(SCORE.stamp(given))
    assert shapes(pictures) == [("agreement", True), ("distributions", True)]
    assert "mean 0.2 (dashed), worst 0.3" in pictures[0].caption
    assert "tilt θ (°)" in texts(pictures[0])


def test_a_tensor_field_is_drawn_by_component() -> None:
    strain = np.random.default_rng(0).normal(0, 0.01, (4, 6, 8, 3, 3))
    strain[:, :2] = np.nan
    given = FIELD.stamp(xr.Dataset({"strain": (("z", "y", "x", "axis", "axis2"), strain, ONE)}, grid((4, 6, 8))))
    pictures = draw(given)
    assert shapes(pictures) == [("field-strain", True)]
    assert "strain xx" in texts(pictures[0])
    assert "strain yz" in texts(pictures[0])


def test_a_kind_with_nothing_to_look_at_has_no_pictures() -> None:
    assert draw(FILE.stamp(xr.Dataset({"content": ("byte", np.zeros(3, np.uint8), ONE)}))) == []


def test_the_same_data_give_the_same_png_bytes() -> None:
    assert [one.png() for one in draw(atoms())] == [one.png() for one in draw(atoms())]


def test_drawing_leaves_matplotlib_as_it_was_and_needs_no_screen() -> None:
    before = dict(matplotlib.rcParams)
    draw(atoms())
    assert dict(matplotlib.rcParams) == before
    program = "import aetx.draw.atoms, aetx.draw.volume, sys; assert 'matplotlib.pyplot' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(__file__).parents[2])


def test_drawing_a_stored_volume_gives_no_warning(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        volume().to_zarr(tmp_path / "v.zarr", consolidated=False)
    stored = xr.open_zarr(tmp_path / "v.zarr", consolidated=False, chunks=None)
    assert len(draw(stored)) == 3


@pytest.mark.parametrize(
    ("most", "text"), [(12.0, "1 nm"), (7.0, "5 Å"), (250.0, "20 nm"), (0.6, "50 pm"), (30_000.0, "2 µm")]
)
def test_scale_bars_have_round_lengths(most: float, text: str) -> None:
    assert style.length_text(style.round_length(most)) == text


def test_an_angle_is_written_without_a_negative_zero() -> None:
    assert [style.degrees(one) for one in (-0.01, -63.04, 7)] == ["+0.0°", "\u221263.0°", "+7.0°"]
