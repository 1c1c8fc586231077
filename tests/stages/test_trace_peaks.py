"""`trace.peaks`: atoms come out where they went in, whatever the blocks, the noise and the shape."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from xarray.core import indexing

from aetx.core import Stage
from aetx.core import peaks as shared
from aetx.errors import AetxWarning, InputError
from aetx.stages.trace.peaks import peaks
from aetx.stages.trace.polynomial import polynomial
from tests.stages.stored import Stored

F64 = NDArray[np.float64]
STEP = 0.358


def volume_of(density: NDArray[np.generic], step: float = STEP) -> xr.Dataset:
    coords = {
        axis: (axis, (np.arange(size) - size // 2) * step, {"units": "angstrom"})
        for axis, size in zip("zyx", density.shape, strict=True)
    }
    return xr.Dataset({"density": (("z", "y", "x"), density, {"units": "1/angstrom"})}, coords=coords)


def rendered(
    position: F64,
    shape: tuple[int, int, int],
    width: tuple[float, float, float] = (0.45, 0.45, 0.45),
    step: float = STEP,
) -> NDArray[np.float32]:
    """Sum unit Gaussians at (x, y, z) in angstrom over the whole volume; widths along z, y, x."""
    total = np.zeros(shape)
    for atom in position:
        axes = [
            np.exp(-0.5 * (((np.arange(n) - n // 2) * step - r) / s) ** 2)
            for n, r, s in zip(shape, atom[::-1], width, strict=True)
        ]
        total += axes[0][:, None, None] * axes[1][:, None] * axes[2]
    return total.astype(np.float32)


def fcc(cells: int, seed: int = 0, spacing: float = 3.912) -> F64:
    rng = np.random.default_rng(seed)
    corner = np.stack(np.meshgrid(*[np.arange(cells) - (cells - 1) / 2] * 3, indexing="ij"), -1).reshape(-1, 1, 3)
    basis = np.array([[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]) - 0.25
    turned = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    position: F64 = (corner + basis).reshape(-1, 3) @ turned * spacing
    return position + 0.05 * rng.standard_normal(position.shape)


def errors(found: xr.Dataset, true: F64) -> F64:
    """Return the error of the atom found nearest each true one, in angstrom."""
    apart = found["position"].values[None] - true[:, None]
    nearest = np.linalg.norm(apart, axis=2).argmin(1)
    return apart[np.arange(len(true)), nearest]


def rms(error: F64) -> float:
    return float(np.sqrt((error**2).sum(1).mean()))


def test_atoms_come_back_where_they_were_put() -> None:
    true = fcc(3)
    found = peaks(volume_of(rendered(true, (54, 55, 57))))
    assert found.sizes["atom"] == len(true) == 108
    assert rms(errors(found, true)) < 0.002
    np.testing.assert_allclose(found["width"], 0.45, rtol=2e-3)
    np.testing.assert_allclose(found["intensity"], 1.0, rtol=5e-3)


def test_noise_is_met_at_the_cramer_rao_bound_and_the_errors_say_so() -> None:
    true = fcc(4)
    noise = 0.05 * np.random.default_rng(3).standard_normal((64, 64, 64))
    found = peaks(volume_of((rendered(true, (64, 64, 64)) + noise).astype(np.float32)))
    assert found.sizes["atom"] == len(true)
    bound = 0.0166  # three axes, isolated atom of known shape
    assert 0.9 * bound < rms(errors(found, true)) < 1.1 * bound
    assert rms(found["sigma"].values.astype(float)) == pytest.approx(bound, rel=0.1)


def test_close_neighbours_do_not_pull_at_each_other() -> None:
    true = np.array([[0.0, 0.0, 0.0], [2.3, 0.1, 0.0], [1.1, 2.1, 0.3], [0.2, 0.3, 2.4], [-2.2, 0.4, 0.2]])
    found = peaks(volume_of(rendered(true, (40, 40, 40), (0.7, 0.7, 0.7))))
    assert found.sizes["atom"] == 5
    assert np.abs(errors(found, true)).max() < 0.01


def test_a_missing_wedge_lengthens_all_atoms_and_moves_none() -> None:
    true = fcc(3)
    found = peaks(volume_of(rendered(true, (54, 54, 54), (0.65, 0.45, 0.42))))
    assert found.sizes["atom"] == len(true)
    assert rms(errors(found, true)) < 0.005
    np.testing.assert_allclose(found["width"], (0.65 * 0.45 * 0.42) ** (1 / 3), rtol=0.01)


def test_the_place_is_that_of_the_coordinates_also_in_a_crop() -> None:
    true = fcc(3)
    whole = volume_of(rendered(true, (54, 54, 54)))
    crop = whole.isel(z=slice(13, 54), x=slice(8, 51))
    assert np.abs(errors(peaks(crop), true[np.abs(true).max(1) < 2.5])).max() < 0.005


def blocks_of(edge: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "IN_MEMORY", edge)


def test_blocks_do_not_change_a_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    density = rendered(fcc(3), (40, 37, 41)) + 0.08 * rng.standard_normal((40, 37, 41))
    volume = volume_of(density.astype(np.float32))
    whole = peaks(volume)
    for edge in (64, 17, 7):
        blocks_of(edge, monkeypatch)
        xr.testing.assert_identical(peaks(volume), whole)


def test_blocks_without_atoms_are_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    true = np.array([[-8.0, 0.0, 0.0], [-5.0, 0.0, 0.0]])
    blocks_of(12, monkeypatch)
    assert rms(errors(peaks(volume_of(rendered(true, (20, 20, 70)))), true)) < 0.002


def test_a_lazy_volume_gives_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    density = rendered(fcc(4), (72, 70, 75)) + 0.05 * np.random.default_rng(6).standard_normal((72, 70, 75))
    volume = volume_of(density.astype(np.float32))
    whole = peaks(volume)
    monkeypatch.setattr(shared.Blocks, "of", classmethod(lambda cls, volume, memory: cls(volume["density"], memory)))
    xr.testing.assert_identical(peaks(volume.chunk(23), memory=2 * 4 * 4 * 75**3), whole)


def test_turning_the_volume_turns_the_atoms() -> None:
    volume = volume_of(rendered(fcc(2), (33, 33, 33)))
    turned = volume.assign(density=volume["density"].copy(data=volume["density"].values.transpose(2, 1, 0)))
    one, other = peaks(volume)["position"].values, peaks(turned)["position"].values[:, ::-1]
    np.testing.assert_allclose(one[np.lexsort(one.round(3).T)], other[np.lexsort(other.round(3).T)], atol=1e-6)


def test_no_two_atoms_are_nearer_than_the_separation() -> None:
    density = np.random.default_rng(7).standard_normal((30, 30, 30)).astype(np.float32)
    position = peaks(volume_of(density), separation=1.9)["position"].values
    apart = np.linalg.norm(position[:, None] - position, axis=2)
    assert apart[~np.eye(len(position), dtype=bool)].min() >= 1.9


def test_the_separation_is_between_peaks_and_not_between_voxels() -> None:
    true = np.array([[-2.3, 0.0, 0.0], [2.45, 0.0, 0.0]]) * STEP  # 4.75 voxels apart, the brightest voxels 4
    density = rendered(true, (24, 24, 24))
    assert sorted(density[12, 12].argsort()[-2:]) == [10, 14]
    found = peaks(volume_of(density), separation=4.5 * STEP)
    assert found.sizes["atom"] == 2
    assert rms(errors(found, true)) < 0.01


def test_an_atom_on_a_face_is_found_and_one_beyond_is_not() -> None:
    middle, face = [0.0, 0.0, 0.0], 12 * STEP  # the first voxel lies at minus `face`, the last one a step before
    faces = np.array([middle, [-face + 0.05, 0.3, 0.1], [0.1, face - STEP + 0.1, 0.2], [0.2, 0.1, -face - 0.1]])
    found = peaks(volume_of(rendered(faces, (24, 24, 24))))
    assert found.sizes["atom"] == 4
    assert rms(errors(found, faces)) < 0.05
    assert sorted(found["flag"].values) == [0, 4, 4, 4]
    beyond = np.array([middle, [-face - 0.8 * STEP, 0.3, 0.1]])
    assert peaks(volume_of(rendered(beyond, (24, 24, 24)))).sizes["atom"] == 1


def test_a_plateau_is_one_peak() -> None:
    density = np.zeros((15, 15, 15), np.float32)
    density[6:9, 6:9, 6:9] = 1.0
    assert peaks(volume_of(density)).sizes["atom"] == 1


def test_faint_atoms_are_kept_down_to_the_threshold() -> None:
    density = rendered(np.array([[0.0, 0, 0], [4.0, 0, 0]]), (30, 30, 30))
    density += 0.3 * rendered(np.array([[0.0, 4.0, 0]]), (30, 30, 30))
    assert peaks(volume_of(density), threshold=0.25).sizes["atom"] == 3
    assert peaks(volume_of(density), threshold=0.4).sizes["atom"] == 2


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 9, 9), (9, 9, 1), (12, 12, 12)])
def test_a_volume_without_peaks_gives_an_empty_table(shape: tuple[int, int, int]) -> None:
    with pytest.warns(AetxWarning, match="no atom"):
        found = peaks(volume_of(np.zeros(shape, np.float32)))
    assert found["position"].shape == (0, 3)
    assert found["sigma"].shape == (0, 3)


def test_an_infinite_voxel_is_named() -> None:
    density = rendered(fcc(1), (20, 20, 20))
    density[3, 4, 5] = np.inf
    with pytest.raises(InputError, match=r"density\[3, 4, 5\]: found inf"):
        peaks(volume_of(density))


def test_where_a_volume_is_undefined_there_are_no_atoms_and_the_others_stay() -> None:
    density = rendered(fcc(2), (40, 40, 40))
    whole = peaks(volume_of(density))["position"].values
    density[:, :, 25:] = np.nan
    kept = density.copy()
    with pytest.warns(AetxWarning, match="undefined"):
        found = peaks(volume_of(density))["position"].values
    np.testing.assert_array_equal(density, kept)
    far = volume_of(density)["x"].values[18]
    inside = whole[whole[:, 0] < far]
    distance = np.linalg.norm(found[:, None] - inside[None], axis=2).min(0)
    assert len(inside) > 5
    assert distance.max() < 0.02
    assert found[:, 0].max() < volume_of(density)["x"].values[26]


def test_the_volume_is_left_alone() -> None:
    volume = volume_of(rendered(fcc(1), (20, 20, 20)))
    before = volume.copy(deep=True)
    peaks(volume)
    xr.testing.assert_identical(volume, before)


def test_an_atom_hidden_by_a_displaced_neighbour_is_found_in_what_is_left_over() -> None:
    true = np.array([[0.0, 0.0, 0.0], [2.3, 0.0, 0.0], [0.0, 5.0, 0.0], [0.0, -5.0, 0.0]])
    density = rendered(true, (40, 40, 40))
    density[20, 20, 22] += 0.6  # one bright voxel makes the first atom's maximum 0.7 A nearer to the second
    found = peaks(volume_of(density))
    assert found.sizes["atom"] == 4
    assert np.abs(errors(found, true)).max() < 0.2


def test_noise_below_the_valley_is_not_taken_for_atoms() -> None:
    rng = np.random.default_rng(11)
    true = fcc(3)
    noise = gaussian_filter(rng.standard_normal((60, 60, 60)), 1.0)
    density = rendered(true, (60, 60, 60)) + 0.12 * noise / noise.std()
    found = peaks(volume_of(density.astype(np.float32)))
    assert found.sizes["atom"] == len(true)
    assert rms(errors(found, true)) < 0.15


def test_light_atoms_beside_heavy_ones_are_not_taken_for_noise() -> None:
    true = fcc(3)
    density = rendered(true[::2], (54, 54, 54)) + 0.35 * rendered(true[1::2], (54, 54, 54))
    assert peaks(volume_of(density)).sizes["atom"] == len(true)


def test_correlated_noise_widens_the_errors() -> None:
    rng = np.random.default_rng(12)
    true = fcc(4)
    noise = gaussian_filter(rng.standard_normal((64, 64, 64)), 1.0)
    found = peaks(volume_of((rendered(true, (64, 64, 64)) + 0.03 * noise / noise.std()).astype(np.float32)))
    error = rms(errors(found, true))
    assert rms(found["sigma"].values.astype(float)) == pytest.approx(error, rel=0.25)


@pytest.mark.parametrize("trace", [peaks, polynomial], ids=["peaks", "polynomial"])
def test_a_volume_larger_than_the_memory_is_never_read_whole(trace: Stage) -> None:
    values = rendered(fcc(2), (900, 40, 40))
    stored = Stored(values)
    lazy = xr.Variable(("z", "y", "x"), indexing.LazilyIndexedArray(stored), {"units": "1/angstrom"})
    plain = volume_of(values)
    found = trace(plain.assign(density=lazy), memory=values.nbytes * 5 // 2, threshold=0.3)
    assert stored.most < values.size / 2
    xr.testing.assert_identical(found, trace(plain, threshold=0.3))
