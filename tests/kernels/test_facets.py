"""Facets of fcc crystals."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from aetx.kernels.facets import Facet, directions, facets, least_atoms
from tests.stages.crystals import CELL, TURN, faces, sites

FAMILIES = ("111", "100", "110")
MILLER = {"111": (1, 1, 1), "100": (1, 0, 0), "110": (1, 1, 0)}


def found_on(
    site: np.ndarray, noise: float = 0.0, seed: int = 0, threshold: float | None = None, extra: np.ndarray | None = None
) -> list[Facet]:
    """Facets of one grain; `extra` are lattice coordinates of further atoms that belong to none."""
    every = site if extra is None else np.concatenate([site, extra])
    position = every @ (CELL * TURN) + np.random.default_rng(seed).normal(0, noise, every.shape)
    grain = np.where(np.arange(len(every)) < len(site), 0, -1)
    known = np.where(grain[:, None] == 0, every, np.nan)
    least = least_atoms(len(site)) if threshold is None else threshold
    return facets(position, known, grain, CELL * TURN[None], FAMILIES, least)


def sizes(found: list[Facet]) -> dict[tuple[str, int], int]:
    return dict(Counter((one.family, len(one.member)) for one in found))


@pytest.mark.parametrize("noise", [0.0, 0.2])
@pytest.mark.parametrize(
    ("shape", "size", "cut", "wanted"),
    [
        ("cuboctahedron", 5, 0, {("111", 21): 8, ("100", 36): 6}),
        ("truncated_octahedron", 18, 12, {("111", 127): 8, ("100", 49): 6}),
        ("truncated_octahedron", 12, 8, {("111", 61): 8, ("100", 25): 6}),
        ("octahedron", 9, 0, {("111", 45): 8}),
        ("octahedron", 14, 0, {("111", 120): 8}),
        ("cube", 4, 0, {("100", 41): 6}),
        ("cube", 5, 0, {("100", 60): 6}),
        ("cube", 12, 0, {("100", 313): 6}),
        ("rhombic_dodecahedron", 14, 0, {("110", 57): 12}),
    ],
)
def test_bodies_have_their_facets_and_no_others(
    shape: str, size: int, cut: int, wanted: dict[tuple[str, int], int], noise: float
) -> None:
    found = found_on(sites(shape, size, cut), noise)
    assert sizes(found) == wanted


@pytest.mark.parametrize(("shape", "size", "cut"), [("cuboctahedron", 7, 0), ("truncated_octahedron", 18, 12)])
def test_every_atom_of_a_facet_is_on_the_outermost_plane_of_its_family(shape: str, size: int, cut: int) -> None:
    site = sites(shape, size, cut)
    true = faces(site, MILLER)
    found = found_on(site, 0.1)
    for family in ("111", "100"):
        on = np.zeros(len(site), bool)
        for one in found:
            on[one.member] |= one.family == family
        np.testing.assert_array_equal(on, true[family])


def test_normals_point_outwards_along_the_miller_indices_of_the_turned_crystal() -> None:
    site = sites("cuboctahedron", 5)
    for one in found_on(site):
        along = np.array(one.miller) @ TURN
        np.testing.assert_allclose(one.normal, along / np.linalg.norm(along), atol=1e-12)
        assert (site[one.member] @ one.miller == one.plane).all()
        assert one.plane == (site @ one.miller).max()


def test_areas_are_those_of_polygons_widened_by_half_a_bond() -> None:
    bond = CELL / np.sqrt(2)
    for one in found_on(sites("cuboctahedron", 5)):
        sides, corners = (4, 1.0) if one.family == "100" else (3, np.sqrt(3) / 4)
        edge = 5 * bond
        wanted = corners * edge**2 + sides * edge * bond / 2 + np.pi * bond**2 / 4
        assert one.area == pytest.approx(wanted, rel=1e-9)


def test_a_twin_plane_is_no_facet() -> None:
    site = sites("cuboctahedron", 5)
    top = (2 * site).sum(1).max() / 2
    plane = site[np.isclose(site.sum(1), top)]
    above = np.concatenate([plane + move for move in ([0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5])])
    hollow, below = np.unique(above, axis=0, return_counts=True)
    covered = found_on(site, extra=hollow[below == 3])
    assert sizes(covered) == {("111", 21): 7, ("100", 36): 6}
    assert (1, 1, 1) not in {one.miller for one in covered}


def test_an_island_counts_with_the_facet_below_it() -> None:
    site = sites("truncated_octahedron", 18, 12)
    on = np.array([[3.5, 3.5, 3.0], [3.5, 3.0, 3.5], [3.0, 3.5, 3.5]])
    assert (on.sum(1) == site.sum(1).max() + 1).all()
    found = found_on(np.concatenate([site, on]))
    top = next(one for one in found if one.miller == (1, 1, 1))
    assert top.island.sum() == 3
    buried = 127 + 3 - len(top.member)
    assert buried == 1, "only the atom below all three is covered altogether"


def test_a_terrace_beside_a_higher_one_is_a_facet_of_its_own() -> None:
    site = sites("truncated_octahedron", 18, 12)
    top = site[np.isclose(site.sum(1), 9)]
    across = top @ [1, -1, 0]
    half = top[across > 0] + [0.5, 0.5, 0]
    found = [one for one in found_on(np.concatenate([site, half])) if one.miller == (1, 1, 1)]
    assert sorted(one.plane for one in found) == [9.0, 10.0]
    upper = max(found, key=lambda one: one.plane)
    assert len(upper.member) == len(half)


def test_atoms_without_a_site_belong_to_no_facet() -> None:
    site = sites("cuboctahedron", 5)
    lost = site.copy()
    lost[np.argmax(site.sum(1))] = np.nan
    position = site @ (CELL * TURN)
    found = facets(position, lost, np.zeros(len(site), int), CELL * TURN[None], FAMILIES, 5.0)
    assert all(np.argmax(site.sum(1)) not in one.member for one in found)


def test_the_least_size_is_the_published_one_and_follows_the_surface() -> None:
    assert least_atoms(3504) == 20
    assert least_atoms(8 * 3504) == pytest.approx(80)
    assert least_atoms(10) == 4


def test_families_have_eight_six_and_twelve_planes() -> None:
    assert [len(directions(name)) for name in FAMILIES] == [8, 6, 12]
