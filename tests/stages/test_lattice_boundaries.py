"""lattice.boundaries: twins, their planes and what they are turned by, with errors."""

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
from aetx.stages.simulate.decahedron import decahedron
from aetx.stages.simulate.dumbbell import dumbbell


def halves(twist: float, noise: float = 0.0, seed: int = 0) -> xr.Dataset:
    """Layers ABC below and CBA above a twin plane A at z = 0, the upper half turned about z; plain numpy."""
    steps = np.stack(np.meshgrid(np.arange(-9, 10), np.arange(-9, 10)), -1).reshape(-1, 2)
    plane = steps @ np.array([[1.0, 0.0], [0.5, math.sqrt(0.75)]])
    made = []
    for layer in range(-6, 7):
        flat = plane + abs(layer) % 3 * np.array([0.5, math.sqrt(1 / 12)])
        flat = flat[np.linalg.norm(flat, axis=1) < 6.0]
        turn = math.radians(twist) if layer > 0 else 0.0
        rotation = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
        made.append(np.column_stack([flat @ rotation.T, np.full(len(flat), layer * math.sqrt(2 / 3))]))
    position = 2.77 * np.concatenate(made)
    position += np.random.default_rng(seed).normal(0, noise, position.shape)
    sigma = np.full(position.shape, noise)
    table = atoms_dataset(position, 78)
    return table.assign(sigma=(("atom", "axis"), sigma, {"units": "angstrom"})) if noise else table


def test_a_twin_has_sixty_degrees_one_plane_and_the_twist_that_was_planted() -> None:
    table = halves(1.2)
    made = boundaries(fit(table, type="fcc"))
    assert made.sizes["grain_id"] == 2
    assert float(made["misorientation"][0, 1]) == pytest.approx(60 - 1.2, abs=0.02)
    assert float(made["twin_deviation"][0, 1]) == pytest.approx(1.2, abs=0.02)
    assert float(made["twist"][0, 1]) == pytest.approx(1.2, abs=0.02)
    assert float(made["twist"][1, 0]) == pytest.approx(1.2, abs=0.02)
    assert made.sizes["plane"] == 1
    assert abs(made["plane_normal"].values[0] @ [0, 0, 1]) == pytest.approx(1.0, abs=1e-4)
    np.testing.assert_array_equal(made["twin_plane"].values == 0, table["position"].values[:, 2] == 0)


@pytest.mark.parametrize("twist", [-0.8, 0.8])
def test_the_twist_does_not_depend_on_how_the_particle_lies_and_has_a_sign(twist: float) -> None:
    table = halves(twist)
    turned = Rotation.from_rotvec([0.4, 1.9, -0.7]).apply(table["position"].values)
    made = boundaries(fit(table.assign(position=table["position"].copy(data=turned)), type="fcc"))
    assert float(made["twist"][0, 1]) == pytest.approx(twist, abs=0.02)


def test_the_error_of_the_twist_is_that_of_repeats() -> None:
    pulls = []
    for seed in range(40):
        made = boundaries(fit(halves(0.5, 0.1, seed), type="fcc"))
        pulls.append((float(made["twist"][0, 1]) - 0.5) / float(made["twist_error"][0, 1]))
    assert np.std(pulls) == pytest.approx(1.0, abs=0.3)
    assert abs(np.mean(pulls)) < 0.5


def test_the_double_twin_of_the_dumbbell_and_its_rotation_are_found_without_help() -> None:
    truth = dumbbell()
    made = boundaries(fit(truth, type="fcc"))
    layer, plane = truth["layer"].values, made["twin_plane"].values
    assert made.sizes["plane"] == 2
    assert sorted(set(layer[plane == 0]) | set(layer[plane == 1])) == [-1, 1]
    assert float(made["twist"][0, 1]) == pytest.approx(1.59, abs=0.1)
    assert float(made["misorientation"][0, 1]) == pytest.approx(1.59, abs=0.1)
    pulls = (made["twist"][0, 1] - 1.59) / made["twist_error"][0, 1]
    assert abs(float(pulls)) < 4


def test_the_decahedron_has_five_twin_planes_about_one_axis() -> None:
    truth = decahedron(atoms=2000, displacement=0.1)
    made = boundaries(fit(truth, type="fcc"))
    assert made.sizes["plane"] == 5
    assert (np.bincount(made["plane_grains"].values.ravel()) == 2).all(), "every domain has two neighbours"
    np.testing.assert_allclose(made["twin_deviation"].values[np.isfinite(made["twin_deviation"])], 1.47, atol=0.15)
    size = np.linalg.svd(made["plane_normal"].values, compute_uv=False)
    assert size[2] < 0.02 * size[0], "all normals are across the five-fold axis"
    shared = truth["sector"].values[made["twin_plane"].values >= 0]
    assert (shared == -1).all()


def test_one_grain_has_no_twin() -> None:
    table = halves(0.0)
    lower = table.isel(atom=table["position"].values[:, 2] < 1)
    made = boundaries(fit(lower, type="fcc"))
    assert (made.sizes["grain_id"], made.sizes["plane"]) == (1, 0)
    assert (made["twin_plane"] == -1).all()


def test_a_lattice_of_unknown_symmetry_is_refused() -> None:
    made = fit(halves(0.0), type="fcc").assign_attrs(lattice="user")
    with pytest.raises(InputError, match="a named lattice"):
        boundaries(made)
