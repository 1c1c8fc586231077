"""The sparse transform and the convolution, against transforms of the whole padded grid."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.fft
import torch
from numpy.typing import NDArray

from aetx.kernels.genfire import EVERYTHING, Convolution, Scheme, Transform, cutoffs, held_out, quality, reconstruct
from aetx.kernels.gridding import Points, from_planes
from aetx.kernels.projection import rotation

BOX = (9, 8, 11)
Complex = NDArray[np.complexfloating]


def points(size: int) -> Points:
    generator = np.random.default_rng(0)
    turned = rotation(0.1 * generator.standard_normal(5), np.linspace(-1, 1, 5), 0.1 * generator.standard_normal(5))
    images = generator.random((5, 9, 11)).astype(np.float32)
    return from_planes(images, (-4.0, -5.0), turned, size, 0.6, size / 2)


def volume() -> NDArray[np.float32]:
    return np.random.default_rng(1).random(BOX).astype(np.float32)


def whole(found: Points, values: Complex) -> Complex:
    """Return the padded grid (y, z, x) with values at points and their conjugates at the partners."""
    grid = np.zeros((found.size,) * 3, values.dtype)
    for (y, z, x), value in zip(found.waves(), values, strict=True):
        grid[y, z, x], grid[-y, -z, -x] = value, np.conj(value)
    return grid


def cut(grid: Complex) -> NDArray[np.floating]:
    y, z, x = BOX
    return np.asarray(grid[:y, :z, :x].real)


SIZES = [14, 20, 22, 37, 55]
"""Below twice the box, about twice, odd, and five times."""


@pytest.mark.parametrize("size", SIZES)
def test_the_transform_at_points_is_that_of_the_padded_grid(size: int) -> None:
    found = points(size)
    told = Transform(found, BOX, "cpu").sample(torch.from_numpy(volume())).numpy()
    k = found.waves()
    wanted = scipy.fft.fftn(volume().astype(float), (size,) * 3)[k[:, 0], k[:, 1], k[:, 2]]
    np.testing.assert_allclose(told, wanted, atol=1e-4)


@pytest.mark.parametrize("size", SIZES)
def test_the_inverse_is_that_of_the_padded_grid(size: int) -> None:
    found = points(size)
    told = Transform(found, BOX, "cpu").inverse(torch.from_numpy(found.value.astype(np.complex64))).numpy()
    wanted = cut(scipy.fft.ifftn(whole(found, found.value)))
    np.testing.assert_allclose(told, wanted, atol=1e-5 * np.abs(wanted).max())


@pytest.mark.parametrize("size", SIZES)
def test_the_convolution_is_there_and_back_through_the_chosen_points(size: int) -> None:
    found = points(size)
    chosen = np.random.default_rng(2).random(found.key.size) < 0.7
    convolution = Convolution(Transform(found, BOX, "cpu"), torch.from_numpy(chosen.astype(np.float32)))
    told = convolution(torch.from_numpy(volume())).numpy()
    mask = whole(found, chosen.astype(complex)).real
    wanted = cut(scipy.fft.ifftn(mask * scipy.fft.fftn(volume().astype(float), (size,) * 3)))
    np.testing.assert_allclose(told, wanted, atol=3e-6 * np.abs(wanted).max())


@pytest.mark.parametrize("size", [22, 40])
def test_steps_are_those_of_replacing_points_of_the_padded_grid(size: int) -> None:
    found, start = points(size), (-4.0, -4.0, -5.0)
    fraction = np.minimum(quality(found, size / 2), 1.0)
    free = held_out((fraction * 7).astype(np.int64), 0.1, 3)
    scheme = Scheme(iterations=6, positive=True, momentum=False, schedule="extension", best=False)
    made = reconstruct(found, start, BOX, scheme, fraction=fraction, shells=8, free=free, support=None, device="cpu")
    turn = np.exp(2j * np.pi / size * (found.waves() @ np.array(start)))
    measured, x = whole(found, found.value * turn), np.zeros(BOX)
    for level in cutoffs("extension", 6):
        wave = scipy.fft.fftn(x, (size,) * 3)
        mask = whole(found, (~free & (1 - fraction > level)).astype(complex)).real > 0
        x = np.maximum(cut(scipy.fft.ifftn(np.where(mask, measured, wave))), 0)
    np.testing.assert_allclose(made.volume.numpy(), x, atol=1e-5 * x.max())
    told = whole(found, np.ones(found.key.size, complex)) * scipy.fft.fftn(x, (size,) * 3)
    k = tuple(found.waves()[free].T)
    wanted = np.abs(told[k] - measured[k]).sum() / np.abs(measured[k]).sum()
    assert made.free[-1] == pytest.approx(wanted, rel=1e-4)
    k = tuple(found.waves()[~free].T)
    wanted = np.abs(np.abs(told[k]) - np.abs(measured[k])).sum() / np.abs(measured[k]).sum()
    assert made.magnitude[-1] == pytest.approx(wanted, rel=1e-4)


def test_schedules_begin_with_low_frequencies_and_go_where_they_say() -> None:
    extension, suppression = cutoffs("extension", 150), cutoffs("suppression", 270)
    assert extension[0] == pytest.approx(0.95)
    assert extension[-1] == EVERYTHING
    assert (np.diff(extension) <= 0).all()
    np.testing.assert_allclose(suppression, suppression[::-1])
    assert (suppression == EVERYTHING).sum() == 30
    assert (cutoffs("all", 3) == EVERYTHING).all()


def test_the_same_share_of_every_shell_is_held_out() -> None:
    shell = np.repeat([0, 1, 2], [400, 60, 19])
    free = held_out(shell, 0.05, 0)
    assert np.bincount(shell[free]).tolist() == [20, 3, 1]
    assert not free[0]
    assert (free != held_out(shell, 0.05, 1)).any()


def test_momentum_reaches_a_better_fit_in_as_many_steps() -> None:
    found = points(22)
    none = np.zeros(found.key.size, bool)
    fits = []
    for momentum in (False, True):
        scheme = Scheme(iterations=40, positive=True, momentum=momentum, schedule="all", best=False)
        made = reconstruct(
            found,
            (-4.0, -4.0, -5.0),
            BOX,
            scheme,
            fraction=np.zeros(found.key.size),
            shells=1,
            free=none,
            support=None,
            device="cpu",
        )
        fits.append(made.work[-1])
        assert np.isnan(made.free).all()
    assert fits[1] < fits[0]
