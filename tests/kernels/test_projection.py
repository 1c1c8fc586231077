"""The projector: signs, transpose, flux, and an independent twin."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from aetx.kernels.projection import Grid, Projector, dense_axes, keys, remap, rotation

F64 = NDArray[np.float64]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Compute in one thread: more would only wait for each other at these sizes."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def turned(phi: object, theta: object, psi: object) -> F64:
    return rotation(*(np.deg2rad(np.atleast_1d(np.asarray(a, float))) for a in (phi, theta, psi)))


def projector(angles: tuple[object, object, object], volume: tuple[int, ...], image: tuple[int, ...]) -> Projector:
    return Projector(turned(*angles), Grid.centred(*volume), Grid.centred(*image))


def point_image(angles: tuple[float, float, float], xyz: tuple[int, int, int], size: int) -> tuple[float, float]:
    """Return where (x, y) the image of a small soft ball has its centre of mass."""
    tool = projector(angles, (size, size, size), (size, size))
    axes = np.meshgrid(*([np.arange(size) - size // 2] * 3), indexing="ij")
    square = sum((a - c) ** 2 for a, c in zip(axes, xyz[::-1], strict=True))
    density = np.exp(-square / 2.0).astype(np.float32)
    image = tool.images_out(tool.project(tool.volume_in(density)))[0].astype(float)
    axis = np.arange(size) - size // 2
    return float(image.sum(0) @ axis / image.sum()), float(image.sum(1) @ axis / image.sum())


def brute_force(density: NDArray[np.float32], r: F64, image: tuple[int, int], fine: int = 1) -> F64:
    """Sum trilinear samples along the beam, P(u, v) = sum over w of V(R (u, v, w)), loop over w; numpy only."""
    size = density.shape
    half = 2 * max(size)
    v, u = np.meshgrid(*(np.arange(n) - n // 2 for n in image), indexing="ij")
    total = np.zeros(image)
    padded = np.pad(density.astype(float), 1)
    for w in np.arange(-half, half, 1 / fine):
        x, y, z = (r[i, 0] * u + r[i, 1] * v + r[i, 2] * w for i in range(3))
        at = [c + n // 2 + 1 for c, n in zip((z, y, x), size, strict=True)]
        low = [np.floor(c).astype(int) for c in at]
        inside = np.all([(a >= 0) & (a < n + 1) for a, n in zip(low, size, strict=True)], axis=0)
        for corner in np.ndindex(2, 2, 2):
            weight = inside.astype(float)
            index = []
            for c, a, side in zip(at, low, corner, strict=True):
                weight = weight * (c - a if side else 1 - (c - a))
                index.append(np.where(inside, a + side, 0))
            total += weight * padded[tuple(index)] / fine
    return total


def blobs(shape: tuple[int, int, int], width: float = 2.5) -> NDArray[np.float32]:
    """Return a chiral handful of Gaussians near the middle."""
    centres = [(0, 0, 5, 1.0), (0, 4, 0, 0.6), (5, 0, -2, 0.8), (-3, -4, -3, 1.2)]
    axes = np.meshgrid(*(np.arange(n) - n // 2 for n in shape), indexing="ij")
    density = np.zeros(shape)
    for x, y, z, height in centres:
        square = sum((a - c) ** 2 for a, c in zip(axes, (z, y, x), strict=True))
        density += height * np.exp(-square / (2 * width**2))
    return density.astype(np.float32)


GENERAL = [(0.0, 30.0, 0.0), (3.0, -40.0, -2.0), (90.0, 20.0, 90.0), (35.0, 60.0, -50.0), (-170.0, 100.0, 15.0)]


@pytest.mark.parametrize("size", [31, 32])
def test_a_point_at_plus_z_appears_at_minus_x_at_positive_theta(size: int) -> None:
    assert point_image((0, 30, 0), (0, 0, 10), size) == pytest.approx((-5, 0), abs=0.012)


@pytest.mark.parametrize("size", [31, 32])
@pytest.mark.parametrize(
    ("angles", "xyz", "seen"),
    [
        ((0, 30, 0), (10, 0, 0), (8.6602540, 0)),  # u = x cos(theta)
        ((0, 0, 30), (0, 0, 10), (0, 5)),  # p_y = y cos(psi) + z sin(psi)
        ((0, 0, 30), (0, 10, 0), (0, 8.6602540)),
        ((30, 0, 0), (10, 0, 0), (8.6602540, -5)),  # p = transpose(Rz) r
        ((30, 0, 0), (0, 10, 0), (5, 8.6602540)),
        ((90, 0, 0), (10, 0, 0), (0, -10)),
        ((0, 90, 0), (0, 0, 10), (-10, 0)),
        ((0, 0, 90), (0, 0, 10), (0, 10)),
        ((0, 0, 180), (0, 7, 0), (0, -7)),
        ((90, 30, 0), (0, 0, 10), (-5, 0)),  # R = Rz Ry: z goes to -x sin(theta) before the image turns
        ((0, 90, 30), (10, 0, 0), (0, 5)),  # transpose(Rx) after transpose(Ry): x to z, then z to y
    ],
)
def test_points_appear_where_they_do_by_hand(
    size: int, angles: tuple[float, float, float], xyz: tuple[int, int, int], seen: tuple[float, float]
) -> None:
    assert point_image(angles, xyz, size) == pytest.approx(seen, abs=0.012)


@pytest.mark.parametrize("angles", GENERAL)
def test_points_appear_at_transpose_of_r_times_their_position(angles: tuple[float, float, float]) -> None:
    r = turned(*angles)[0]
    for xyz in ((8, 0, 0), (0, 7, 0), (0, 0, -9), (4, -5, 6)):
        assert point_image(angles, xyz, 33) == pytest.approx(tuple((r.T @ xyz)[:2]), abs=0.012)


def test_rotations_are_proper_and_in_the_order_z_y_x() -> None:
    r = turned(20, 0, 0)[0] @ turned(0, 30, 0)[0] @ turned(0, 0, -40)[0]
    found = turned(20, 30, -40)[0]
    np.testing.assert_allclose(found, r, atol=1e-12)
    assert np.linalg.det(found) == pytest.approx(1)


angle = st.floats(-180, 180)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    poses=st.lists(st.tuples(angle, angle, angle), min_size=1, max_size=4),
    volume=st.tuples(*[st.integers(3, 9)] * 3),
    image=st.tuples(*[st.integers(3, 9)] * 2),
    small=st.booleans(),
)
def test_transpose_is_the_transpose_of_project(
    poses: list[tuple[float, float, float]], volume: tuple[int, ...], image: tuple[int, ...], small: bool
) -> None:
    scale = [0.03, 0.4, 0.03] if small else [1, 1, 1]
    tool = projector(tuple((np.array(poses) * scale).T), volume, image)
    maker = torch.Generator().manual_seed(1)
    density = torch.randn(tool.volume_shape, generator=maker)
    images = torch.randn(tool.image_shape, generator=maker)
    shown, back = tool.project(density), tool.transpose(images)
    left = float((shown.double() * images.double()).sum())
    right = float((density.double() * back.double()).sum())
    size = float(torch.linalg.vector_norm(shown) * torch.linalg.vector_norm(images))
    assert abs(left - right) <= 1e-5 * size + 1e-6


@pytest.mark.parametrize("angles", GENERAL)
@pytest.mark.parametrize("shape", [(24, 27, 26), (25, 24, 27)])
def test_totals_are_kept_at_any_angle(angles: tuple[float, float, float], shape: tuple[int, int, int]) -> None:
    tool = projector(angles, shape, (60, 61))
    density = np.random.default_rng(0).random(shape, np.float32)
    image = tool.images_out(tool.project(tool.volume_in(density)))
    assert image.sum(dtype=float) == pytest.approx(density.sum(dtype=float), rel=1e-5)


@pytest.mark.parametrize("angles", GENERAL)
@pytest.mark.parametrize("shape", [(30, 31, 32), (31, 30, 33)])
def test_images_agree_with_brute_force_sampling_in_numpy(
    angles: tuple[float, float, float], shape: tuple[int, int, int]
) -> None:
    density = blobs(shape)
    tool = projector(angles, shape, (34, 35))
    image = tool.images_out(tool.project(tool.volume_in(density)))[0]
    plain = brute_force(density, turned(*angles)[0], (34, 35))
    assert np.abs(image - plain).max() < 0.05 * plain.max()
    assert np.corrcoef(image.ravel(), plain.ravel())[0, 1] > 0.9995


@pytest.mark.parametrize("flip", [(-1, 1, 1), (1, -1, 1), (1, 1, -1), (-1, -1, -1)])
def test_no_sign_can_be_flipped_unseen_on_a_chiral_object(flip: tuple[int, int, int]) -> None:
    angles, shape = (25.0, 40.0, -30.0), (31, 31, 31)
    density = blobs(shape)
    tool = projector(tuple(np.multiply(angles, flip)), shape, (31, 31))
    image = tool.images_out(tool.project(tool.volume_in(density)))[0]
    plain = brute_force(density, turned(*angles)[0], (31, 31))
    assert np.corrcoef(image.ravel(), plain.ravel())[0, 1] < 0.95


def test_a_tiny_rotation_gives_what_no_rotation_gives() -> None:
    density = np.random.default_rng(0).random((16, 17, 18), np.float32)
    fast = Projector(turned([0, 0], [10, 50], [0, 0]), Grid.centred(16, 17, 18), Grid.centred(17, 18))
    slow = Projector(turned([0.01, -0.01], [10, 50], [0.01, 0.01]), Grid.centred(16, 17, 18), Grid.centred(17, 18))
    first, second = (p.images_out(p.project(p.volume_in(density))) for p in (fast, slow))
    assert fast._groups[0].warp is None
    assert slow._groups[0].warp is not None
    np.testing.assert_allclose(first, second, atol=0.05)


def test_tilts_with_one_axis_take_one_product_and_no_warp() -> None:
    tool = Projector(turned([0] * 5, np.linspace(-70, 70, 5), [0] * 5), Grid.centred(16, 8, 16), Grid.centred(8, 16))
    assert len(tool._groups) == 1
    assert [shift for shift, *_ in tool._groups[0].products] == [0]
    assert tool._groups[0].warp is None


def test_the_dense_axis_is_the_one_near_the_image_plane() -> None:
    assert dense_axes(turned([0, 0], [10, 80], [0, 0])) == [(1, 1), (1, 1)]
    assert dense_axes(turned([0, 0], [0, 0], [10, 80])) == [(0, 0), (0, 0)]
    assert dense_axes(turned([0, 0], [80, 0], [0, 80])) == [(1, 1), (0, 0)]


def test_several_dense_axes_in_one_series_give_the_images_of_each_alone() -> None:
    angles = ([0, 90, 0, 20], [80, 10, 0, 45], [0, 0, 80, 30])
    shape, density = (12, 13, 14), np.random.default_rng(0).random((12, 13, 14), np.float32)
    tool = projector(angles, shape, (15, 16))
    together = tool.images_out(tool.project(tool.volume_in(density)))
    assert len(tool._groups) > 1
    for tilt, pose in enumerate(zip(*angles, strict=True)):
        alone = projector(pose, shape, (15, 16))
        np.testing.assert_allclose(
            together[tilt], alone.images_out(alone.project(alone.volume_in(density)))[0], atol=0.02 * together.max()
        )


def test_grids_that_start_elsewhere_show_the_same_specimen() -> None:
    density = blobs((24, 24, 24), 1.3)
    r = turned([2.0], [35.0], [-3.0])
    whole = Projector(r, Grid.centred(24, 24, 24), Grid.centred(24, 24))
    part = Projector(r, Grid((20, 22, 21), (-10.0, -11.0, -10.0)), Grid((12, 13), (-5.0, -4.0)))
    image = whole.images_out(whole.project(whole.volume_in(density)))[0]
    cut = part.images_out(part.project(part.volume_in(density[2:22, 1:23, 2:23])))[0]
    np.testing.assert_allclose(cut, image[7:19, 8:21], atol=2e-3 * image.max())


def test_a_slab_that_fills_the_view_has_an_even_image() -> None:
    tool = Projector(turned([0, 5], [30, -20], [0, 8]), Grid.centred(10, 60, 60), Grid.centred(12, 12))
    images = tool.project(torch.ones(tool.volume_shape)).numpy()
    r = turned([0, 5], [30, -20], [0, 8])
    for image, matrix in zip(images, r, strict=True):
        np.testing.assert_allclose(image, 10 / matrix[2, 2], rtol=0.02)


def test_cubic_interpolation_keeps_totals_and_straight_lines() -> None:
    s = np.linspace(0, 1, 11)
    taps = np.array([keys(s - k) for k in range(-1, 3)])
    np.testing.assert_allclose(taps.sum(0), 1, atol=1e-12)
    np.testing.assert_allclose(sum(k * t for k, t in zip(range(-1, 3), taps, strict=True)), s, atol=1e-12)


@pytest.mark.parametrize("scale", [1.0, 0.93, 0.6, -0.8])
def test_remapping_keeps_totals_and_constants(scale: float) -> None:
    matrix = remap(41, -20.0, 101, -50.0, scale)
    inner = np.abs(scale * (np.arange(101) - 50)) < 17
    np.testing.assert_allclose(matrix.sum(0)[inner], 1, atol=1e-12)
    np.testing.assert_allclose(matrix.sum(1)[3:-3], 1 / abs(scale), atol=1e-12)


@pytest.mark.gpu
def test_the_gpu_gives_the_same_images_and_the_same_transpose() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    r = turned([0, 3, 90], [30, -40, 20], [0, -2, 80])
    made = [Projector(r, Grid.centred(16, 17, 18), Grid.centred(17, 18), device) for device in ("cpu", "cuda")]
    density = np.random.default_rng(0).random((16, 17, 18), np.float32)
    images = [p.project(p.volume_in(density)) for p in made]
    np.testing.assert_allclose(images[0].numpy(), images[1].cpu().numpy(), atol=1e-4)
    back = [p.transpose(i) for p, i in zip(made, images, strict=True)]
    np.testing.assert_allclose(back[0].numpy(), back[1].cpu().numpy(), rtol=1e-4, atol=1e-3)
