"""Atoms refined against images: of a crystal drawn by plain numpy, with counts, and edits by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from numpy.testing import assert_allclose, assert_array_equal
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from aetx.core.edits import decided
from aetx.errors import InputError
from aetx.kernels.mixtures import gaussians
from aetx.kernels.refinement import F64
from aetx.kernels.scattering import kirkland
from aetx.stages.measure.bound import bound
from aetx.stages.refine.edits import edits
from aetx.stages.refine.images import images

STEP, WIDTH, DOSE = 0.358, 0.45, 7656.0
ELECTRONS = 175.3
"""Of a Pt atom at that dose."""
LENGTH, ANGLE, ONE = {"units": "angstrom"}, {"units": "degree"}, {"units": "1"}


def atoms_of(position: F64, species: int = 78) -> xr.Dataset:
    count = len(position)
    return xr.Dataset(
        {
            "position": (("atom", "axis"), position, LENGTH),
            "species": ("atom", np.full(count, species, np.int32), ONE),
        },
        coords={"atom": ("atom", np.arange(count), ONE), "axis": ["x", "y", "z"]},
    )


def crystal(radius: float = 7.8, seed: int = 0) -> F64:
    """A ball of fcc Pt, turned at random, atoms displaced by 10 pm along each axis."""
    generator = np.random.default_rng(seed)
    sites = np.stack(np.meshgrid(*[np.arange(-5, 6)] * 3), axis=-1).reshape(-1, 3)
    sites = sites[sites.sum(1) % 2 == 0] * 3.92 / 2
    sites = sites[np.linalg.norm(sites - 0.3, axis=1) < radius]
    turn = Rotation.random(random_state=seed).as_matrix()
    placed = sites @ turn.T + generator.normal(0, 0.1, sites.shape)
    return placed - placed.mean(0)


def series_of(position: F64, theta: F64, *, seed: int | None = 0, pixels: int = 72) -> xr.Dataset:
    """Counts of Pt atoms whose scattering factor is a sum of Gaussians; without noise if there is no seed."""
    weight, spread = gaussians(lambda q: kirkland(78, q) / kirkland(78, 0.0), WIDTH)
    grid = (np.arange(pixels) - pixels // 2) * STEP
    made = np.zeros((theta.size, pixels, pixels))
    for image, angle in zip(made, np.deg2rad(theta), strict=True):
        x = position[:, 0] * np.cos(angle) - position[:, 2] * np.sin(angle)
        for share, wide in zip(weight, np.hypot(WIDTH, spread), strict=True):
            across, along = (
                np.exp(-0.5 * ((grid - one[:, None]) / wide) ** 2) * STEP / (np.sqrt(2 * np.pi) * wide)
                for one in (x, position[:, 1])
            )
            image += ELECTRONS * share * along.T @ across
    if seed is not None:
        made = np.random.default_rng(seed).poisson(made).astype(float)
    none = np.zeros(theta.size)
    return xr.Dataset(
        {"image": (("tilt", "y", "x"), made.astype(np.float32), {"units": "count"})},
        coords={
            "tilt": ("tilt", np.arange(theta.size), ONE),
            "phi": ("tilt", none, ANGLE),
            "theta": ("tilt", theta, ANGLE),
            "psi": ("tilt", none, ANGLE),
            "y": ("y", grid, LENGTH),
            "x": ("x", grid, LENGTH),
        },
    )


def moved(position: F64, by: float, seed: int = 5) -> F64:
    return position + np.random.default_rng(seed).normal(0, by, position.shape)


def rmsd(found: xr.Dataset, truth: F64) -> float:
    """Of atoms that are as many as the true ones, after rigid alignment, angstrom."""
    position = found["position"].values
    assert len(position) == len(truth)
    which = np.asarray(cKDTree(position).query(truth)[1])
    assert_array_equal(np.sort(which), np.arange(len(truth)))
    here, there = position[which] - position.mean(0), truth - truth.mean(0)
    turn, _ = Rotation.align_vectors(there, here)
    return float(np.sqrt(((turn.apply(here) - there) ** 2).sum(1).mean()))


TRUE, SMALL = crystal(), crystal(4.9, seed=3)
WIDE, FEW = np.linspace(-70, 70, 21), np.linspace(-70, 70, 11)
QUICK: dict[str, Any] = {"errors": "none", "held_out": 2, "heights": "shared", "widths": "shared"}


@pytest.fixture(scope="module")
def refined() -> xr.Dataset:
    """The larger crystal, refined from a model with two atoms missing, one invented and one doubled."""
    start = moved(TRUE, 0.15)
    between = np.concatenate([start[2:], start[40:41] + np.array([0.5, 0.3, 0.4]), [start.max(0) + 1.0]])
    return images(atoms_of(between), series_of(TRUE, WIDE))


def test_atoms_are_found_as_well_as_the_images_allow(refined: xr.Dataset) -> None:
    known: dict[str, Any] = {"profile": "kirkland", "width": WIDTH, "dose": DOSE, "scale": True}
    least = bound(atoms_of(TRUE), series_of(TRUE, WIDE), **known, heights="shared", widths="shared")
    assert float(least["electrons"][0]) == pytest.approx(ELECTRONS, rel=0.01)
    assert 0.85 * float(least["bound"]) < rmsd(refined, TRUE) < 1.15 * float(least["bound"])
    assert float(np.sqrt((refined["sigma"] ** 2).sum("axis").mean())) == pytest.approx(float(least["bound"]), rel=0.05)
    assert float(refined["gain"]) == pytest.approx(1.0, abs=0.05)
    assert float(refined["width"].mean()) == pytest.approx(WIDTH, abs=0.01)
    assert float((refined["intensity"] / STEP**2).mean()) == pytest.approx(ELECTRONS, rel=0.02)


def test_every_change_of_the_sites_is_in_the_ledger(refined: xr.Dataset) -> None:
    ids = set(range(len(TRUE)))
    for action, number in zip(refined["ledger_action"].values, refined["ledger_atom"].values, strict=True):
        assert (int(number) in ids) == (action != "added")
        ids ^= {int(number)}
    assert ids == set(refined["atom"].values.tolist())
    added = refined["ledger_action"].values == "added"
    assert added.sum() == 2
    assert np.asarray(cKDTree(TRUE[:2]).query(refined["ledger_position"].values[added])[0]).max() < 0.7
    assert (refined["ledger_r_after"].values[:2] < refined["ledger_r_before"].values[:2]).all()


def test_held_out_images_and_r_are_told(refined: xr.Dataset) -> None:
    assert_array_equal(np.isfinite(refined["r_free"]), refined["held_out"] == 1)
    assert int(refined["held_out"].sum()) == 3
    assert refined.attrs["heights"] == refined.attrs["widths"] == "shared"
    assert float(refined["r_work"]) < float(refined["r_free"].mean()) < 1.2 * float(refined["r_work"])
    new = refined["atom"].values >= len(TRUE)
    assert_array_equal(np.isnan(refined["displacement"].values).all(axis=1), new)


def small(**changes: Any) -> xr.Dataset:
    return series_of(SMALL, FEW, pixels=50).assign(changes)


def edit(action: str, atom: int = -1, position: F64 | None = None) -> xr.Dataset:
    """One edit by a person."""
    place, unknown = np.full((1, 2, 3), np.nan), np.full((1, 2, 3), np.nan)
    if position is not None:
        place[0, 0] = position
    words = {"action": action, "reason": "seen", "author": "A. N."}
    return xr.Dataset(
        {
            **{name: ("entry", np.array([text])) for name, text in words.items()},
            "element": ("entry", np.array([-1], np.int32), ONE),
            "atom": (("entry", "place"), np.array([[atom, -1]]), ONE),
            "position": (("entry", "place", "axis"), place, LENGTH),
            "target": (("entry", "place", "axis"), unknown, LENGTH),
        },
        coords={"entry": ("entry", np.array([2]), ONE), "axis": ["x", "y", "z"]},
    )


def test_without_noise_the_atoms_are_exact() -> None:
    series = series_of(SMALL, FEW, seed=None, pixels=50)
    assert rmsd(images(atoms_of(moved(SMALL, 0.1)), series, noise="poisson", **QUICK), SMALL) < 0.001


def with_faint(share: float) -> tuple[xr.Dataset, F64]:
    """Counts of the smaller crystal with one more atom of a part of the usual height, and its place."""
    beyond = SMALL[:1] * (np.linalg.norm(SMALL[0]) + 2.8) / np.linalg.norm(SMALL[0])
    exact, of_faint = (series_of(one, FEW, seed=None, pixels=50) for one in (SMALL, beyond))
    counts = np.random.default_rng(0).poisson(exact["image"] + share * of_faint["image"]).astype(np.float32)
    return exact.assign(image=exact["image"].copy(data=counts)), beyond


def test_what_a_person_accepted_stays() -> None:
    series, place = with_faint(0.35)
    begin, faint = atoms_of(np.concatenate([SMALL, place])), len(SMALL)
    plain = images(begin, series, **QUICK)
    assert_array_equal(plain["ledger_action"].values, ["removed"])
    assert_array_equal(plain["ledger_atom"].values, [faint])
    made = images(edits(begin, edit("accept", atom=faint)), series, **QUICK)
    assert_array_equal(made["atom"], begin["atom"])
    assert_array_equal(made["ledger_action"].values, ["accepted"])
    assert_array_equal(made["ledger_author"].values, ["A. N."])
    assert_array_equal(decided(made).kept, made["atom"] == faint)
    assert_array_equal(images(made, series, **QUICK)["atom"], made["atom"])


def test_what_a_person_rejected_stays_away() -> None:
    series, place = with_faint(0.7)
    begin = atoms_of(SMALL)
    plain = images(begin, series, **QUICK)
    assert_array_equal(plain["ledger_action"].values, ["added"])
    assert np.linalg.norm(plain["position"].values[-1] - place) < 0.3
    rejected = edits(begin, edit("reject", position=place[0] + 0.2))
    made = images(rejected, series, **QUICK)
    assert_array_equal(made["atom"], begin["atom"])
    assert_array_equal(made["ledger_action"].values, ["rejected"])
    added_by_hand = edits(rejected, edit("add", position=place[0]))
    again = images(added_by_hand, series, **QUICK)
    assert_array_equal(again["ledger_action"].values, ["rejected", "added"])
    assert_array_equal(again["ledger_author"].values, ["A. N.", "A. N."])
    assert again.sizes["atom"] == len(SMALL) + 1


def test_refined_atoms_are_refined_on_from_their_poses() -> None:
    off = np.random.default_rng(2).uniform(-2, 2, FEW.size)
    series = series_of(SMALL, FEW, seed=None, pixels=50).assign_coords(theta=("tilt", FEW + off, ANGLE))
    counted: dict[str, Any] = QUICK | {"noise": "poisson"}
    once = images(atoms_of(moved(SMALL, 0.1)), series, **counted)
    assert rmsd(once, SMALL) < 0.01
    held: dict[str, Any] = counted | {"angles": False, "shifts": False, "sites": False}
    again = images(once, series, **held)
    assert float(np.abs(again["displacement"]).max()) < 0.01
    assert_allclose(again["theta"], once["theta"], atol=1e-6)
    assert float(again["r1"].max()) < 0.01
    bare = once[["position", "species"]].drop_vars(["phi", "theta", "psi", "tilt"], errors="ignore")
    assert float(images(bare, series, **held)["r1"].mean()) > 0.02


def test_pixels_behind_a_mask_do_not_matter() -> None:
    series = small()
    seen = np.random.default_rng(3).random(series["image"].shape) > 0.2
    series["mask"] = (("tilt", "y", "x"), seen, ONE)
    spoiled = series.assign(image=series["image"].where(seen, np.nan))
    one, other = (images(atoms_of(moved(SMALL, 0.1)), given, **QUICK) for given in (series, spoiled))
    assert_array_equal(one["position"], other["position"])
    assert rmsd(one, SMALL) < 0.09


def test_the_variance_of_a_series_is_what_counts() -> None:
    series = small()
    image, truth = series["image"].values, series_of(SMALL, FEW, seed=None, pixels=50)["image"].values
    image[:, :, ::4] += 400.0
    variance = np.maximum(truth, 0.05)
    variance[:, :, ::4] = 1e9
    given = series.assign(variance=(("tilt", "y", "x"), variance, {"units": "count**2"}))
    made = images(atoms_of(moved(SMALL, 0.1)), given, **QUICK)
    assert rmsd(made, SMALL) < 0.09
    assert np.isnan(made["gain"])


def test_the_unit_of_the_images_is_that_of_the_intensities_and_moves_no_atom() -> None:
    series = small()
    other = series.assign(image=(series["image"] * 1e-3).assign_attrs(units="1"))
    one, two = (images(atoms_of(moved(SMALL, 0.1)), given, **QUICK) for given in (series, other))
    assert_allclose(two["position"], one["position"], atol=0.01)
    assert_allclose(two["intensity"], 1e-3 * one["intensity"], rtol=1e-2)
    assert two["intensity"].attrs["units"] == "angstrom**2"
    assert float(two["gain"]) == pytest.approx(1e-3, rel=0.05)


def test_background_that_was_taken_off_moves_no_atom() -> None:
    series = small()
    darker = series.assign(image=(series["image"] - 20).assign_attrs(units="1"))
    one, two = (images(atoms_of(moved(SMALL, 0.1)), given, **QUICK) for given in (series, darker))
    assert rmsd(two, SMALL) < 1.03 * rmsd(one, SMALL)
    assert_allclose(two["background"], -20, atol=0.2)
    assert float(two["gain"]) == pytest.approx(1.0, abs=0.1)


def test_what_is_not_free_stays() -> None:
    fixed: dict[str, Any] = {"angles": False, "shifts": False, "scale": False}
    made = images(atoms_of(moved(SMALL, 0.1)), small(), **QUICK | fixed)
    assert_allclose(made["theta"], FEW, atol=1e-9)
    assert_array_equal(made["scale"], np.ones(FEW.size))
    assert not made["shift_x"].values.any()


@pytest.mark.parametrize("device", ["cpu:0", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_the_device_does_not_matter(device: str) -> None:
    """Anything but `cpu` by that very name is left to torch."""
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("there is no CUDA device")
    begin, series = atoms_of(moved(SMALL, 0.1)), series_of(SMALL, FEW[::2], pixels=50)
    one, two = (images(begin, series, **QUICK, device=name) for name in ("cpu", device))
    assert_array_equal(one["atom"], two["atom"])
    assert_allclose(two["position"], one["position"], atol=1e-4)
    assert_allclose(two["theta"], one["theta"], atol=1e-3)
    assert (one["position"] != two["position"]).any(), "another way to the same result"


@pytest.mark.parametrize(
    ("change", "options", "match"),
    [
        ({"units": "1"}, {"noise": "poisson"}, "noise: estimated"),
        ({"species": 0}, {}, "profile: gaussian"),
        ({"broken": (3, 20, 21)}, {}, "not finite in tilt 3"),
        ({"tilts": 1}, {}, "1 image"),
        ({"atoms": 0}, {}, "at least one atom"),
        ({"ids": 0}, {}, "each id once"),
        ({"factor": 0}, {}, "no atom in the images"),
        ({"mask": False}, {}, "mask less"),
    ],
)
def test_what_cannot_be_refined_is_refused(change: dict[str, Any], options: dict[str, Any], match: str) -> None:
    series, atoms = small(), atoms_of(SMALL, change.get("species", 78))
    series["image"].attrs["units"] = change.get("units", "count")
    series["image"].values[:] *= change.get("factor", 1)
    if "mask" in change:
        series["mask"] = series["image"].astype(bool).where(False, False).assign_attrs(ONE)
    if "ids" in change:
        atoms = atoms.assign_coords(atom=("atom", np.zeros(len(SMALL), int), ONE))
    if "broken" in change:
        series["image"].values[change["broken"]] = np.nan
    series, atoms = series.isel(tilt=slice(change.get("tilts"))), atoms.isel(atom=slice(change.get("atoms")))
    with pytest.raises(InputError, match=match):
        images(atoms, series, **options)
