"""`trace.polynomial`: the published walk, on the whole fine grid or near what can be a maximum, is the same."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates, maximum_filter

from aetx.core import peaks as shared
from aetx.errors import AetxWarning, InputError
from aetx.kernels import polynomial as kernel
from aetx.stages.trace.polynomial import polynomial

F64 = NDArray[np.float64]
STEP = 0.358


def volume_of(density: NDArray[np.generic]) -> xr.Dataset:
    coords = {
        axis: (axis, (np.arange(size) - size // 2) * STEP, {"units": "angstrom"})
        for axis, size in zip("zyx", density.shape, strict=True)
    }
    return xr.Dataset({"density": (("z", "y", "x"), density, {"units": "1/angstrom"})}, coords=coords)


def rendered(
    position: F64, shape: tuple[int, int, int], noise: float = 0.0, width: float = 0.45
) -> NDArray[np.float32]:
    total = noise * np.random.default_rng(9).standard_normal(shape)
    for atom in position:
        axes = [
            np.exp(-0.5 * (((np.arange(n) - n // 2) * STEP - r) / width) ** 2)
            for n, r in zip(shape, atom[::-1], strict=True)
        ]
        total += axes[0][:, None, None] * axes[1][:, None] * axes[2]
    return total.astype(np.float32)


ATOMS = np.array([[0.11, -0.2, 0.07], [2.9, 0.13, -0.1], [-0.3, 2.83, 0.2], [0.1, -2.7, -0.9], [-2.6, -0.4, 0.8]])


def plain(density: NDArray[np.float32], floor: float) -> tuple[F64, F64]:
    """Walk from every maximum of the whole fine grid, with numpy and the polynomial as the paper writes it."""
    grid = np.meshgrid(*[np.arange(3 * (n - 1) + 1) / 3 for n in density.shape], indexing="ij")
    fine = map_coordinates(density.astype(float), grid, order=3, mode="mirror").astype(np.float32)
    ball = np.abs(np.indices((3, 3, 3)) - 1).sum(0) <= 1
    tops = np.argwhere((fine == maximum_filter(fine, footprint=ball)) & (fine > floor))
    tops = tops[((tops >= 3) & (tops < np.array(fine.shape) - 3)).all(1)]
    offset = np.indices((7, 7, 7)).reshape(3, -1).T - 3
    offset = offset[(offset**2).sum(1) <= 3.5**2]
    assert len(offset) == 179
    places, flags = [], []
    for top in tops:
        p, still, flag = np.zeros(3), 0, -4
        for _ in range(14):
            u = offset - p
            weight = np.exp(-(u**2).sum(1) / 9)
            terms = np.stack([np.prod(u**power, axis=1) for power in kernel.powers()], 1)
            values = fine[tuple((top + offset).T)]
            c = np.linalg.lstsq(terms * weight[:, None], values * weight, rcond=None)[0]
            bend = np.array([[2 * c[4], c[5], c[6]], [c[5], 2 * c[7], c[8]], [c[6], c[8], 2 * c[9]]])
            if np.linalg.eigvalsh(bend).max() >= 0:
                flag = -1
                break
            step = -np.linalg.solve(bend, c[1:4])
            still = still + 1 if np.abs(step).max() < 0.5 else 0
            p = p + np.clip(step, -0.5, 0.5)
            if np.abs(p).max() > 3:
                flag = -2
                break
            if still == 7:
                flag = 0
                break
        places.append((top + p) / 3)
        flags.append(flag)
    return np.array(places), np.array(flags)


def test_the_result_is_that_of_the_whole_fine_grid() -> None:
    density = rendered(ATOMS, (17, 16, 18), noise=0.05)
    found = polynomial(volume_of(density), threshold=0.15, separation=1e-6, rejected=True)
    floor = 0.15 * np.sort(density.ravel())[int(0.999 * (density.size - 1))]
    places, flags = plain(density, floor)
    assert len(flags) > 20
    voxels = (found["position"].values[:, ::-1] / STEP) + np.array(density.shape) // 2
    order, other = np.lexsort(np.round(voxels, 2).T), np.lexsort(np.round(places, 2).T)
    np.testing.assert_allclose(voxels[order], places[other], atol=1e-4)
    np.testing.assert_array_equal(found["flag"].values[order], flags[other])


def test_atoms_come_back_where_they_were_put() -> None:
    found = polynomial(volume_of(rendered(ATOMS, (31, 31, 31))))
    apart = np.linalg.norm(found["position"].values[None] - ATOMS[:, None], axis=2)
    assert found.sizes["atom"] == len(ATOMS)
    assert apart.min(1).max() < 0.008
    np.testing.assert_allclose(found["width"], 0.45, rtol=0.05)


def test_a_sampled_gaussian_is_found_to_a_fiftieth_of_a_picometre() -> None:
    rng = np.random.default_rng(2)
    for _ in range(5):
        place = rng.uniform(-0.5, 0.5, 3)
        u = np.arange(-3, 4)
        sigma = 3 * 0.48 / STEP
        axes = [np.exp(-0.5 * ((u - p) / sigma) ** 2) for p in place]
        box = (axes[0][:, None, None] * axes[1][:, None] * axes[2]).astype(np.float32)
        row = np.zeros(9)
        kernel._vertex(box, kernel.powers(), row)
        assert row[8] == 0
        assert np.abs(row[4:7] * 3 - place).max() * STEP / 3 < 2e-4


def test_blocks_do_not_change_a_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    volume = volume_of(rendered(ATOMS, (31, 37, 41), noise=0.03))
    whole = polynomial(volume, threshold=0.1, rejected=True)
    assert (np.bincount(-whole["flag"].values)[[0, 3]] > 0).all()
    for edge in (64, 19, 7):
        monkeypatch.setattr(shared, "IN_MEMORY", edge)
        xr.testing.assert_identical(polynomial(volume, threshold=0.1, rejected=True), whole)


def test_a_lazy_volume_gives_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    volume = volume_of(rendered(ATOMS, (70, 31, 31), noise=0.03))
    whole = polynomial(volume, threshold=0.3)
    monkeypatch.setattr(shared.Blocks, "of", classmethod(lambda cls, volume, memory: cls(volume["density"], memory)))
    xr.testing.assert_identical(polynomial(volume.chunk(16), threshold=0.3, memory=2 * 9 * 4 * 84 * 31**2), whole)


def test_the_higher_of_two_near_maxima_is_kept() -> None:
    density = rendered(np.array([[0.0, 0, 0], [1.6, 0, 0]]), (25, 25, 25))
    density += 0.2 * rendered(np.array([[0.0, 0, 0]]), (25, 25, 25))
    assert polynomial(volume_of(density), separation=1.2).sizes["atom"] == 2
    found = polynomial(volume_of(density), separation=2.0, rejected=True)
    assert found["flag"].values.tolist() == [0, -3]


def test_only_the_highest_are_looked_at() -> None:
    assert polynomial(volume_of(rendered(ATOMS, (31, 31, 31))), most=2).sizes["atom"] == 2


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 9, 9), (9, 9, 1), (12, 12, 12)])
def test_a_volume_without_peaks_gives_an_empty_table(shape: tuple[int, int, int]) -> None:
    with pytest.warns(AetxWarning, match="no atom"):
        assert polynomial(volume_of(np.zeros(shape, np.float32)))["position"].shape == (0, 3)


def test_a_voxel_that_is_not_a_number_is_named() -> None:
    density = rendered(ATOMS, (20, 20, 20))
    density[3, 4, 5] = np.inf
    with pytest.raises(InputError, match=r"density\[3, 4, 5\]: found inf"):
        polynomial(volume_of(density))


@pytest.mark.parametrize("shift", [-5.0, 0.0, 5.0])
def test_the_percentile_is_an_order_statistic(shift: float) -> None:
    values = np.random.default_rng(0).standard_normal(5000).astype(np.float32) + np.float32(shift)
    leading = kernel.rank_counts(values, None)
    rank = 3456
    place = int(np.searchsorted(np.cumsum(leading), rank, side="right"))
    within = rank - int(np.cumsum(leading)[place - 1])
    trailing = int(np.searchsorted(np.cumsum(kernel.rank_counts(values, place)), within, side="right"))
    assert kernel.ranked(place, trailing) == np.sort(values)[rank]
