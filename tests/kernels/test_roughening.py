"""Sites of an fcc lattice, and the rule by which they are filled."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.spatial import KDTree
from scipy.stats import chisquare

from aetx.kernels import roughening as kernel


def ball(radius: float, half: int = 9) -> np.ndarray:
    lattice = kernel.empty_lattice(half)
    i = np.arange(-half, half + 1)
    inside = i[:, None, None] ** 2 + i[:, None] ** 2 + i**2 <= radius**2
    lattice[inside & (lattice == kernel.EMPTY)] = kernel.FILLED
    return lattice


def places(lattice: np.ndarray) -> np.ndarray:
    return np.argwhere(lattice == kernel.FILLED).astype(float)


def counted(lattice: np.ndarray) -> np.ndarray:
    """Neighbours of every empty site, counted by distance."""
    sites = np.argwhere(lattice == kernel.EMPTY)
    return np.asarray(KDTree(places(lattice)).query_ball_point(sites, 1.5, return_length=True))


def test_neighbours_are_the_twelve_nearest_sites() -> None:
    assert kernel.NEIGHBOURS.shape == (12, 3)
    assert ((kernel.NEIGHBOURS**2).sum(axis=1) == 2).all()
    lattice = ball(4.0)
    count = kernel.coordination(lattice)
    near = KDTree(places(lattice)).query_ball_point(places(lattice), 1.5, return_length=True)
    assert (count[lattice == kernel.FILLED] == np.asarray(near) - 1).all()
    assert (count[lattice == kernel.EMPTY] == counted(lattice)).all()
    assert count[9, 9, 9] == 12


@given(
    sites=st.lists(st.integers(0, 10**6), min_size=1, max_size=13).filter(any),
    temperature=st.floats(1e-3, 1e6),
)
def test_probabilities_sum_to_one_whatever_the_temperature(sites: list[int], temperature: float) -> None:
    share = kernel.shares(np.array(sites), temperature)
    assert np.isfinite(share).all()
    assert_allclose(share.sum(), 1.0)
    assert (share[np.array(sites) == 0] == 0).all()


def test_probabilities_are_those_of_the_equation() -> None:
    sites, temperature = np.array([0, 40, 20, 10, 3, 1]), 0.7
    weight = sites * np.exp(np.arange(6) / temperature)
    assert_allclose(kernel.shares(sites, temperature), weight / weight.sum())


def test_cold_atoms_go_where_the_neighbours_are_most() -> None:
    lattice = ball(5.0)
    filled = kernel.add(lattice.copy(), 120, 1, 1e-3, np.random.default_rng(0))
    for site in filled:
        most = counted(lattice).max()
        assert kernel.coordination(lattice).flat[site] == most
        assert lattice.flat[site] == kernel.EMPTY
        lattice.flat[site] = kernel.FILLED


def test_hot_atoms_go_to_every_site_alike() -> None:
    lattice = ball(2.0)
    sites = np.flatnonzero((lattice == kernel.EMPTY) & (kernel.coordination(lattice) >= 1))
    generator = np.random.default_rng(1)
    drawn = [int(kernel.add(lattice.copy(), 1, 1, 1e6, generator)[0]) for _ in range(40 * sites.size)]
    assert set(drawn) == set(sites.tolist())
    assert chisquare([drawn.count(site) for site in sites.tolist()]).pvalue > 0.01


def test_atoms_go_to_sites_as_often_as_the_equation_says() -> None:
    lattice = ball(2.5)
    count = kernel.coordination(lattice)
    empty = (lattice == kernel.EMPTY) & (count >= 1)
    generator, temperature, draws = np.random.default_rng(2), 1.5, 6000
    drawn = [int(count.flat[kernel.add(lattice.copy(), 1, 1, temperature, generator)[0]]) for _ in range(draws)]
    weight = np.exp(count[empty] / temperature)
    expected = [draws * weight[count[empty] == n].sum() / weight.sum() for n in range(1, 13)]
    kept = [n for n in range(12) if expected[n] > 5]
    observed = [drawn.count(n + 1) for n in kept]
    assert chisquare(observed, np.array(expected)[kept] * sum(observed) / sum(np.array(expected)[kept])).pvalue > 0.01


def test_the_second_atom_knows_of_the_first() -> None:
    lattice = kernel.empty_lattice(4)
    lattice[4, 4, 4] = kernel.FILLED
    first, second, third, fourth = kernel.add(lattice, 4, 1, 1e-3, np.random.default_rng(3))
    place = np.array(np.unravel_index([first, second, third, fourth], lattice.shape)).T
    together = np.vstack([[4, 4, 4], place[:3]]).astype(float)
    assert_allclose(((together[:, None] - together) ** 2).sum(axis=2)[np.triu_indices(4, 1)], 2)  # a tetrahedron
    assert (((together - place[3]) ** 2).sum(axis=1) == 2).sum() == 2  # no site has three neighbours
    assert (lattice == kernel.FILLED).sum() == 5


def test_sites_with_too_few_neighbours_and_closed_ones_stay_empty() -> None:
    lattice = ball(4.0)
    lattice[:, :, :9][lattice[:, :, :9] == kernel.EMPTY] = kernel.CLOSED
    before = lattice.copy()
    count = kernel.coordination(lattice)
    filled = kernel.add(lattice, 1, 3, 1e6, np.random.default_rng(4))
    assert count.flat[filled[0]] >= 3
    kernel.add(lattice, 10_000, 3, 1e6, np.random.default_rng(5))
    assert (lattice[:, :, :9] == before[:, :, :9]).all()
    left = kernel.coordination(lattice)[lattice == kernel.EMPTY]
    assert (left < 3).all()  # nothing was left to fill, and the call ended


def test_what_does_not_touch_the_largest_group_is_not_attached() -> None:
    lattice = ball(2.0)
    apart = (2, 2, 2)
    lattice[apart] = kernel.FILLED
    lattice[2, 2, 4] = kernel.FILLED  # second neighbours do not touch
    assert not kernel.attached(lattice)[apart]
    assert kernel.attached(lattice).sum() == (lattice == kernel.FILLED).sum() - 2


@pytest.mark.parametrize(
    ("normal", "spacing"), [((1, 0, 0), 4.078 / 2), ((0, 1, -1), 4.078 / 8**0.5), ((1, -1, 1), 4.078 / 3**0.5)]
)
def test_planes_cut_after_the_last_whole_layer(normal: tuple[int, int, int], spacing: float) -> None:
    index = np.flatnonzero((np.array(normal) == kernel.PLANES).all(axis=1))[0]
    for wanted in (2, 3):
        limits = kernel.layers(np.full(26, (wanted + 0.4) * spacing), 4.078)
        lattice = kernel.empty_lattice(12)
        lattice[kernel.cut(lattice, kernel.PLANES[[index]], limits[[index]]) & (lattice == 0)] = kernel.FILLED
        height = (np.argwhere(lattice == kernel.FILLED) - 12) @ np.array(normal) * 4.078 / 2
        assert_allclose(height.max() / np.linalg.norm(normal), wanted * spacing)
