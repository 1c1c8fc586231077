"""Block matching against a plain twin, its transforms, and images whose denoised form is known."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray
from scipy.fft import dct
from scipy.ndimage import gaussian_filter

from aetx.kernels import bm3d
from aetx.kernels.bm3d import NOISY, PROFILES, Pass, Profile, denoise, profile_for

F32 = NDArray[np.float32]
GENERAL = PROFILES["general"]


def columns(side: int, spacing: float = 7.3) -> F32:
    """Return a lattice of columns of atoms with a round edge, from 0 to 1."""
    v, u = np.mgrid[:side, :side] - side / 2.0
    lattice = (np.cos(2 * np.pi * u / spacing) + np.cos(2 * np.pi * (0.5 * u + 0.87 * v) / spacing) + 2) / 4
    return np.asarray(lattice**3 * (np.hypot(u, v) < 0.4 * side), np.float32)


def noise(*shape: int, seed: int = 0) -> F32:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def decibel(found: F32, true: F32) -> float:
    return float(-10 * np.log10(np.mean((found - true) ** 2)))


def plain(image: F32, deviation: float, profile: Profile) -> NDArray[np.float64]:
    """Denoise block by block, as the algorithm is written down, with nothing shared."""
    pilot = plain_pass(image, image, deviation, profile.first, profile.threshold)
    return plain_pass(image, pilot, deviation, profile.second, None)


def plain_pass(
    image: NDArray[np.floating],
    pilot: NDArray[np.floating],
    deviation: float,
    settings: Pass,
    threshold: float | None,
) -> NDArray[np.float64]:
    size, (rows, cols) = settings.block, image.shape
    forward, inverse = (matrix.astype(float) for matrix in bm3d._matrices(settings.transform, size))
    window = np.outer(*[np.kaiser(size, settings.taper)] * 2)
    total, weights = np.zeros(image.shape), np.zeros(image.shape)
    half = settings.search // 2
    limit = settings.similarity / 255**2

    def spectrum(stack: NDArray[np.float64]) -> NDArray[np.float64]:
        return haar(len(stack)) @ (forward @ stack @ forward.T).reshape(len(stack), -1)

    for y in bm3d._places(rows, size, settings.step):
        for x in bm3d._places(cols, size, settings.step):
            block = pilot[y : y + size, x : x + size].astype(float)
            found = []
            for v in range(max(0, y - half), min(rows - size, y + half) + 1):
                for u in range(max(0, x - half), min(cols - size, x + half) + 1):
                    away = np.mean((pilot[v : v + size, u : u + size] - block) ** 2)
                    if away < limit:
                        found.append((away, v, u))
            found = sorted(found)[: settings.most]
            found = found[: 1 << (len(found).bit_length() - 1)]
            stack = np.array([image[v : v + size, u : u + size] for _, v, u in found], float)
            coefficients = spectrum(stack)
            if threshold is not None:
                kept = np.abs(coefficients) > threshold * deviation
                kept[0, 0] = True
                weight = 1 / kept.sum()
                coefficients = coefficients * kept
            else:
                guide = spectrum(np.array([pilot[v : v + size, u : u + size] for _, v, u in found], float)) ** 2
                share = guide / (guide + deviation**2)
                share[0, 0] = 1
                weight = 1 / float((share**2).sum())
                coefficients = coefficients * share
            back = (haar(len(stack)).T @ coefficients).reshape(stack.shape)
            for one, (_, v, u) in zip(inverse @ back @ inverse.T, found, strict=True):
                total[v : v + size, u : u + size] += weight * window * one
                weights[v : v + size, u : u + size] += weight * window
    return np.asarray(total / weights)


def haar(size: int) -> NDArray[np.float64]:
    if size == 1:
        return np.ones((1, 1))
    upper = np.kron(haar(size // 2), [1, 1])
    lower = np.kron(np.eye(size // 2), [1, -1])
    return np.concatenate([upper, lower]) / np.sqrt(2)


@pytest.mark.parametrize("name", ["general", "noisy"])
def test_it_does_what_the_algorithm_written_down_plainly_does(name: str) -> None:
    image = columns(40)[:, :35] + np.float32(0.1) * noise(40, 35)
    profile = GENERAL
    if name == "noisy":
        profile = Profile(Pass("dct", 8, 5, 4, 9, 900.0, 0.3), 2.5, Pass("dct", 11, 6, 8, 11, 100.0, 1.0))
    assert_allclose(denoise(image, 0.1, profile), plain(image, 0.1, profile), atol=2e-4)


def test_noise_alone_becomes_flat() -> None:
    image = 0.5 + np.float32(0.1) * noise(96, 96)
    made = denoise(image, 0.1, GENERAL)
    assert made.std() < 0.1 * image.std()
    assert_allclose(made.mean(), image.mean(), atol=1e-3)


def test_a_faint_level_stays_what_it_is() -> None:
    image = 1e-3 + np.float32(0.1) * noise(96, 96, seed=3)
    assert_allclose(denoise(image, 0.1, GENERAL).mean(), image.mean(), atol=1e-3)


def test_an_image_without_noise_stays() -> None:
    image = columns(64)
    assert_allclose(denoise(image, 1e-4, GENERAL), image, atol=1e-3)


def test_a_lattice_comes_out_of_noise_that_smoothing_leaves_in() -> None:
    true = columns(128)
    image = true + np.float32(0.1) * noise(128, 128)
    smooth = max(decibel(gaussian_filter(image, width), true) for width in (0.5, 0.7, 1.0, 1.3))
    assert decibel(denoise(image, 0.1, GENERAL), true) > smooth + 3


def test_turned_and_mirrored_images_give_turned_and_mirrored_results() -> None:
    image = columns(65) + np.float32(0.05) * noise(65, 65)
    symmetric = Profile(Pass("dct", 8, 3, 16, 15, 3000.0, 2.0), 2.7, Pass("dct", 8, 3, 16, 15, 400.0, 2.0))
    made = denoise(image, 0.05, symmetric)
    assert_allclose(denoise(np.ascontiguousarray(image.T), 0.05, symmetric).T, made, atol=1e-3)
    assert_allclose(denoise(np.ascontiguousarray(image[::-1]), 0.05, symmetric)[::-1], made, atol=1e-3)


def test_brightness_and_contrast_change_nothing_but_themselves() -> None:
    image = columns(48) + np.float32(0.1) * noise(48, 48)
    one = Pass("dct", 8, 3, 16, 15, 1e9, 2.0)
    wide = Profile(one, 2.7, one)
    made = denoise(image, 0.1, wide)
    assert_allclose(denoise(2 * image, 0.2, wide), 2 * made, rtol=1e-5)
    assert np.abs(denoise(image + 1, 0.1, wide) - 1 - made).mean() < 1e-3, "a few coefficients lie on the threshold"


def test_the_same_image_gives_the_same_bits() -> None:
    image = columns(48) + np.float32(0.1) * noise(48, 48)
    assert_array_equal(denoise(image, 0.1, GENERAL), denoise(image, 0.1, GENERAL))


def test_transforms_have_rows_of_norm_one_and_an_inverse() -> None:
    for transform, size in (("dct", 8), ("dct", 11), ("dct", 16), ("biorthogonal", 8)):
        forward, inverse = bm3d._matrices(transform, size)  # type: ignore[arg-type]
        assert_allclose(inverse @ forward, np.eye(size), atol=1e-5)
        assert_allclose(np.linalg.norm(forward, axis=1), 1, atol=1e-6)
        assert_allclose(forward[1:].sum(axis=1), 0, atol=1e-6)
    assert_allclose(bm3d._matrices("dct", 8)[0], dct(np.eye(8), axis=0, norm="ortho"), atol=1e-6)


def test_the_wavelet_has_the_vanishing_moment_and_the_taps_of_its_table() -> None:
    forward, inverse = bm3d._matrices("biorthogonal", 8)
    assert_allclose(forward[4], [*[np.sqrt(0.5), -np.sqrt(0.5)], *[0] * 6], atol=1e-6)
    assert_allclose(inverse[:, 0] / inverse[0, 0], 1, atol=1e-5), "the mean comes back as a constant"


def test_the_most_alike_are_paired_first() -> None:
    slots = bm3d._slots(8)
    assert_array_equal(slots[3], [0, 4, 2, 6, 1, 5, 3, 7])
    assert_array_equal(slots[1][:2], [0, 1])


def test_much_noise_changes_the_settings() -> None:
    assert profile_for("general", NOISY) == GENERAL
    noisy = profile_for("atomic", NOISY * 1.01)
    assert (noisy.first.most, noisy.first.step, noisy.threshold) == (32, 4, 2.8)
    assert (noisy.second.block, noisy.second.step, noisy.second.similarity) == (11, 6, 3500.0)
