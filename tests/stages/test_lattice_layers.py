"""lattice.layers: layers, their letters, their disorder and what they are turned by."""

from __future__ import annotations

import math

import numpy as np
import pytest
import xarray as xr
from scipy.spatial.transform import Rotation

from aetx.core.atoms import atoms_dataset
from aetx.errors import InputError
from aetx.stages.lattice.boundaries import boundaries
from aetx.stages.lattice.fit import fit
from aetx.stages.lattice.layers import layers
from aetx.stages.simulate.dumbbell import dumbbell

DISTANCE = 2.77


def stacked(letters: str, noise: float = 0.0, turned: float = 0.0, seed: int = 0) -> xr.Dataset:
    """Layers of 60 to 70 atoms in a given order; each is turned against the one below; plain numpy."""
    steps = np.stack(np.meshgrid(np.arange(-9, 10), np.arange(-9, 10)), -1).reshape(-1, 2)
    plane = steps @ np.array([[1.0, 0.0], [0.5, math.sqrt(0.75)]])
    made, number = [], []
    for layer, letter in enumerate(letters):
        flat = plane + "ABC".index(letter) * np.array([0.5, math.sqrt(1 / 12)])
        flat = (
            flat[np.linalg.norm(flat, axis=1) < 4.3]
            @ Rotation.from_rotvec([0, 0, -turned * layer], degrees=True).as_matrix()[:2, :2]
        )
        made.append(np.column_stack([flat, np.full(len(flat), layer * math.sqrt(2 / 3))]))
        number += [layer] * len(flat)
    position = DISTANCE * np.concatenate(made)
    position += np.random.default_rng(seed).normal(0, noise, position.shape)
    return atoms_dataset(position, 78, {"true_layer": (np.array(number), "1")})


UP = np.array([0.0, 0.0, 1.0])


def normal_of(lattice: xr.Dataset, up: np.ndarray = UP) -> tuple[int, ...]:
    """Signs of the <111> of grain 0 that is nearest to a direction."""
    return tuple(int(one) for one in np.sign(lattice["basis"].values[0] @ up))


def test_layers_letters_and_stacking_of_a_perfect_crystal_are_exact() -> None:
    made = fit(stacked("ABCABCAB"), type="fcc")
    found = layers(made, normal=normal_of(made))
    np.testing.assert_array_equal(found["layer"], found["true_layer"])
    assert found.attrs["stacking"] == "ABCABCAB"
    np.testing.assert_array_equal(found["layer_stacking"], [-1, 1, 1, 1, 1, 1, 1, -1])
    np.testing.assert_allclose(np.diff(found["layer_height"]), DISTANCE * math.sqrt(2 / 3), atol=1e-9)
    np.testing.assert_allclose(found["layer_spacing"], DISTANCE, atol=1e-9)
    np.testing.assert_allclose(found["layer_rmsd"], 0, atol=1e-9)
    np.testing.assert_allclose(found["layer_rotation"][1:], 0, atol=1e-9)


@pytest.mark.parametrize("letters", ["ABCABACBA", "ABCABABCAB", "ABABABAB", "ABCACBCAB"])
def test_any_order_of_layers_is_read_up_to_the_names_of_the_letters(letters: str) -> None:
    table, turn = stacked(letters, 0.05), Rotation.from_rotvec([0.2, -0.1, 0.5])
    moved = table.assign(position=table["position"].copy(data=turn.apply(table["position"].values)))
    if letters == "ABABABAB":
        found = layers(fit(moved, type="hcp"))
    else:
        made = fit(moved, type="fcc", least=3)
        found = layers(made, normal=normal_of(made, turn.apply(UP)))
    assert found.sizes["layer_id"] == len(letters)
    text = found.attrs["stacking"]
    across = np.corrcoef(found["layer"], found["true_layer"])[0, 1]
    wanted = letters if across > 0 else letters[::-1]
    assert [[a == b for b in text] for a in text] == [[a == b for b in wanted] for a in wanted]


def test_letters_do_not_depend_on_where_the_first_axis_of_the_plane_lies() -> None:
    table = stacked("ABCABACBA", 0.05)
    for angle in (29.9, 30.1, 90.0):
        turn = Rotation.from_rotvec([0, 0, angle], degrees=True)
        made = fit(table.assign(position=table["position"].copy(data=turn.apply(table["position"].values))), type="fcc")
        found = layers(made, normal=normal_of(made))
        np.testing.assert_array_equal(found["layer_stacking"], [-1, 1, 1, 1, 2, 1, 1, 1, -1])
        assert float(np.abs(found["layer_rotation"]).max()) < 1.0


def test_each_layer_is_turned_against_the_one_below_by_what_was_planted() -> None:
    made = fit(stacked("ABCABC", 0.02, turned=0.8), type="fcc", misorientation=15.0)
    found = layers(made, normal=normal_of(made))
    way = np.sign(found["layer_normal"].values[2]) * np.sign(np.corrcoef(found["layer"], found["true_layer"])[0, 1])
    assert way == 1
    pulls = (found["layer_rotation"][1:] - 0.8) / found["layer_rotation_error"][1:]
    assert float(np.abs(pulls).max()) < 3.5
    assert float(found["layer_rotation_error"][1:].max()) < 0.2


def test_rmsd_is_the_noise_in_the_plane_and_surface_and_core_add_up() -> None:
    made = fit(stacked("ABCABCABC", 0.1), type="fcc")
    found = layers(made, normal=normal_of(made))
    atoms = found["layer_on_site"].values
    expected = 0.1 * math.sqrt(2) * np.sqrt(1 - 4 / (2 * atoms))
    assert float((found["layer_rmsd"] / expected).mean()) == pytest.approx(1.0, abs=0.06)
    outer = layers(
        found.assign(surface=("atom", np.arange(found.sizes["atom"]) % 3 == 0, {"units": "1"})), normal=normal_of(made)
    )
    share = outer.groupby("layer").map(lambda one: one["surface"].astype(float).mean())
    total = share * outer["layer_rmsd_surface"].values ** 2 + (1 - share) * outer["layer_rmsd_core"].values ** 2
    np.testing.assert_allclose(np.sqrt(total), outer["layer_rmsd"], rtol=1e-9)


def test_the_dumbbell_has_two_twin_layers_about_its_interface_which_are_the_most_disordered() -> None:
    truth = dumbbell()
    found = layers(boundaries(fit(truth, type="fcc")))
    middle = int(found["layer"].values[truth["layer"].values == 0][0])
    np.testing.assert_array_equal(found["layer"].values - middle, truth["layer"].values)
    twins = np.flatnonzero(found["layer_stacking"].values == 2)
    np.testing.assert_array_equal(twins, [middle - 1, middle + 1])
    core = found["layer_rmsd_core"].values
    assert core[middle - 1 : middle + 2].min() > np.nanmax(np.delete(core, range(middle - 1, middle + 2)))
    whole = np.isfinite(core)
    outer = found["layer_rmsd_surface"].values
    inner = np.abs(np.arange(len(core)) - middle) > 1
    assert (outer[whole & inner] > core[whole & inner]).all()
    turned = found["layer_angle"].values
    between = turned[middle + 1 :].mean() - turned[: middle + 1].mean()
    assert between == pytest.approx(1.59, abs=0.1)


def test_a_single_crystal_must_say_which_layers_are_meant() -> None:
    made = fit(stacked("ABCABC"), type="fcc")
    with pytest.raises(InputError, match="which <111> is meant"):
        layers(made)
    with pytest.raises(InputError, match="one of 1 grains"):
        layers(made, normal=(1, 1, 1), grain=3)
    with pytest.raises(InputError, match="fcc or hcp"):
        layers(made.assign_attrs(lattice="bcc"), normal=(1, 1, 1))
