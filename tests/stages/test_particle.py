"""simulate.particle"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from pydantic import ValidationError
from scipy.spatial import KDTree

from aetx.errors import InputError
from aetx.stages.simulate.particle import particle

SMALL: dict[str, Any] = {"smallest": 22.0, "largest": 24.0}


def test_the_published_particles_have_six_to_ten_thousand_atoms() -> None:
    for seed in range(3):
        assert 6200 < particle(seed=seed).sizes["atom"] < 10_400


def test_the_density_is_that_of_platinum() -> None:
    made = particle(smallest=60.0, largest=60.0, vacancies=0.0)
    assert_allclose(made.sizes["atom"] / (np.pi / 6 * 60**3), 0.0668, rtol=0.03)


def test_a_small_particle_is_centred_and_its_atoms_keep_their_distance() -> None:
    made = particle(**SMALL, separation=2.3)
    position = made["position"].values
    assert 300 < len(position) < 520
    assert_allclose(position.mean(axis=0), 0, atol=1e-12)
    nearest = np.asarray(KDTree(position).query(position, k=2)[0])[:, 1]
    assert nearest.min() >= 2.3
    assert (made["species"] == 78).all()


def test_neighbours_are_at_the_published_distance_without_displacement() -> None:
    position = particle(**SMALL, displacement=0.0, vacancies=0.0)["position"].values
    nearest = np.asarray(KDTree(position).query(position, k=2)[0])[:, 1]
    assert_allclose(np.median(nearest), 2.766, atol=1e-3)


def test_vacancies_take_atoms_away_and_leave_the_others_where_they_are() -> None:
    options = SMALL | {"displacement": 0.0, "seed": 4}
    full, holed = (particle(**options, vacancies=v)["position"].values for v in (0.0, 0.3))
    assert 0 < len(full) - len(holed) <= 0.3 * len(full)
    shift = full - KDTree(full).data[0] + holed[0]
    distances = [np.max(KDTree(shift + (full[0] - one)).query(holed)[0]) for one in full]
    assert min(distances) < 1e-9


def test_seeds_make_different_particles_and_the_same_seed_the_same() -> None:
    assert particle(**SMALL, seed=1).identical(particle(**SMALL, seed=1))
    assert not particle(**SMALL, seed=1).equals(particle(**SMALL, seed=2))


@pytest.mark.parametrize(("element", "number"), [("Au", 79), ("28", 28)])
def test_the_element_is_given_by_symbol_or_number(element: str, number: int) -> None:
    assert (particle(**SMALL, element=element)["species"] == number).all()


@pytest.mark.parametrize("wrong", [{"element": "Xx"}, {"smallest": 70.0}, {"separation": 2.8}, {"element": "0"}])
def test_parameters_that_contradict_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=r"chemical symbol|not above largest|nearest sites"):
        particle(**wrong)


def test_atoms_that_cannot_keep_their_distance_are_an_error() -> None:
    with pytest.raises(InputError, match=r"closer than 2\.7 angstrom"):
        particle(**SMALL, displacement=1.5, separation=2.7)
