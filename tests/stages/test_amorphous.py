"""simulate.amorphous"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from pydantic import ValidationError
from scipy.spatial import KDTree

from aetx.errors import AetxWarning, InputError
from aetx.stages.simulate.amorphous import amorphous
from aetx.stages.simulate.particle import particle

SMALL: dict[str, Any] = {"smallest": 24.0, "largest": 24.0}


def test_there_are_95_atoms_for_100_of_the_crystal_and_none_is_nearer_than_2_angstrom() -> None:
    made = amorphous(smallest=60.0, largest=60.0)
    assert_allclose(made.sizes["atom"] / (np.pi / 6 * 60**3), 0.06347, rtol=1e-3)
    assert made.attrs["filling"] == pytest.approx(0.95, abs=1e-3)
    position = made["position"].values
    assert 2.0 <= np.asarray(KDTree(position).query(position, k=2)[0])[:, 1].min() < 2.01
    assert_allclose(position.mean(axis=0), 0, atol=1e-10)


def spots(position: np.ndarray) -> float:
    """The brightest spot of the diffraction on shells around those of {111} and {200}, per atom."""
    generator = np.random.default_rng(0)
    direction = generator.standard_normal((3000, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    wave = np.concatenate([direction * q for q in (0.4427, 0.5112)])
    inner = position[np.linalg.norm(position - np.median(position, axis=0), axis=1) < 12]
    return float((np.abs(np.exp(2j * np.pi * wave @ inner.T).sum(axis=1)) ** 2 / len(inner)).max())


def test_diffraction_shows_no_spots() -> None:
    options: dict[str, Any] = {"smallest": 40.0, "largest": 40.0, "seed": 2}
    assert spots(particle(**options)["position"].values) > 60
    assert spots(amorphous(**options)["position"].values) < 15


def test_the_shape_is_that_of_the_particle_of_the_same_seed() -> None:
    options: dict[str, Any] = {"smallest": 50.0, "largest": 50.0, "seed": 4}
    crystal, glass = (make(**options)["position"].values for make in (particle, amorphous))
    spread = [np.linalg.eigvalsh(np.cov(one.T)) for one in (crystal, glass)]
    assert_allclose(spread[0], spread[1], rtol=0.05)


def test_an_atom_for_which_there_is_no_room_is_told() -> None:
    with pytest.warns(AetxWarning, match="no room for"):
        made = amorphous(**SMALL, separation=2.2, accepted=0.7, attempts=20)
    assert 0.7 < made.attrs["filling"] < 0.94
    with pytest.raises(InputError, match=r"at least 0\.94"):
        amorphous(**SMALL, separation=2.2, attempts=20)


@pytest.mark.parametrize("wrong", [{"separation": 2.3}, {"accepted": 0.97}, {"smallest": 70.0}, {"element": "Xx"}])
def test_parameters_that_contradict_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=r"pack at most|not above|chemical symbol"):
        amorphous(**wrong)
