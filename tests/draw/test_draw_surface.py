"""The surface is drawn from outside, and no activity without its model."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from aetx.draw import Picture, draw
from aetx.model import FIELD
from aetx.stages.surface.activity import activity
from aetx.stages.surface.activity_coordination import activity_coordination
from aetx.stages.surface.activity_map import activity_map
from aetx.stages.surface.contact import contact
from aetx.stages.surface.curvature import curvature
from aetx.stages.surface.displacement import displacement
from aetx.stages.surface.facets import facets
from aetx.stages.surface.shape import shape
from tests.stages.crystals import LENGTH, NONE, TURN, lattice, sites


@pytest.fixture(scope="module")
def active() -> xr.Dataset:
    found = contact(facets(lattice(sites("cuboctahedron", 4), 0.05)), normal=tuple(TURN[2]))
    count = found.sizes["atom"]
    strain = np.random.default_rng(0).normal(0, 0.01, count)
    found = found.assign(local_strain=("atom", strain, NONE), local_strain_error=("atom", np.full(count, 0.002), NONE))
    return activity(found)


def named(pictures: list[Picture]) -> dict[str, Picture]:
    assert all(one.png().startswith(b"\x89PNG") for one in pictures)
    return {one.name: one for one in pictures}


def test_a_lattice_shows_its_facets_contact_and_activity(active: xr.Dataset) -> None:
    found = named(draw(active))
    assert {"facets", "contact", "activity", "activity-spread"} <= set(found)
    assert "8 facets {111}, 6 facets {100}" in found["facets"].caption
    assert "stated" in found["contact"].caption
    assert "{111}" in found["activity"].caption


def test_every_picture_of_activity_names_its_model(active: xr.Dataset) -> None:
    bare = active.drop_vars(["facet", "on_facet"]).drop_dims("facet_id").assign_attrs(aetx_schema="atoms/1")
    made = [*draw(active), *draw(activity_map(active, points=20)), *draw(activity_coordination(bare))]
    drawn = [one for one in made if "activity" in one.name or one.name == "surface-strain"]
    assert len(drawn) == 6
    for one in drawn:
        assert one.figure.get_supxlabel().startswith("parametrised model"), one.name


def test_a_map_shows_what_the_reader_meets_first() -> None:
    grid = np.arange(-5, 6) * 1.0
    z, y, x = np.meshgrid(grid, grid, grid, indexing="ij")
    values = np.full(z.shape, np.nan)
    for number, plane in enumerate((z == 4, z == -4, y == -4, y == 4, x == -4, x == 4)):
        values[plane & (np.abs(np.stack([x, y, z])).sum(0) < 7)] = number + 1.0
    made = xr.Dataset(
        {
            "activity": (("z", "y", "x"), values.astype(np.float32), NONE | {"model": "parametrised model: none"}),
            "activity_error": (("z", "y", "x"), np.full(z.shape, 0.1, np.float32), NONE),
        },
        {name: (name, grid, LENGTH) for name in "zyx"},
    )
    picture = named(draw(FIELD.stamp(made)))["surface-activity"]
    seen = [np.asarray(axes.images[0].get_array())[5, 5] for axes in picture.figure.axes[:3]]
    assert seen == [1.0, 3.0, 5.0], "from +z, from -y, from -x"


def test_shape_displacement_and_curvature_have_pictures(active: xr.Dataset) -> None:
    assert "shape" in named(draw(shape(active.assign_attrs(aetx_schema="atoms/1"))))
    told = named(draw(displacement(active)))["out-of-plane"].caption
    assert "{100} contact" in told
    assert "{111} free" in told
    bent = curvature(active.assign_attrs(aetx_schema="atoms/1"))
    assert "curvature" in named(draw(bent))


def test_atoms_without_facets_are_drawn_as_ever() -> None:
    plain = lattice(sites("cuboctahedron", 2))
    assert not {"facets", "contact", "activity"} & set(named(draw(plain)))
