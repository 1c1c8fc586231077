"""Pictures of strain show what is known of it, about zero, and tell what is no more than its error."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import xarray as xr

from aetx.draw import Picture, draw
from aetx.stages.strain.atoms import atoms
from aetx.stages.strain.core_shell import core_shell
from aetx.stages.strain.field import field
from aetx.stages.strain.lattice_constant import lattice_constant
from tests.stages.lattices import fcc_ball, strained

BALL = fcc_ball(201)


def lattice(sigma: float | None = 0.05) -> xr.Dataset:
    return strained(BALL, np.diag([0.03, -0.02, 0.0001]), sigma=sigma)


def pictures(dataset: xr.Dataset) -> dict[str, Picture]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return {one.name: one for one in draw(dataset)}


def test_the_strain_of_atoms_is_drawn_about_zero_with_its_error() -> None:
    given = lattice()
    given["grain"][7] = -1
    found = pictures(lattice_constant(atoms(given)))
    assert {"strain-volumetric", "strain-radial", "strain-local_strain"} <= set(found)
    one = found["strain-volumetric"]
    assert "grey: not known" in one.caption
    assert "median standard error" in one.caption
    figure: Any = one.figure
    low, high = figure.axes[-1].get_ylim()
    assert low == -high


def test_a_field_of_strain_is_drawn_with_its_outline_and_pale_where_it_is_noise() -> None:
    found = pictures(field(lattice(), points=20))
    assert {"field-strain", "field-displacement", "field-rotation", "field-invariants"} == set(found)
    strain: Any = found["field-strain"].figure
    panels = strain.axes[:6]
    assert [one.get_title(loc="left") for one in panels] == [
        f"strain {i}" for i in ("xx", "yy", "zz", "xy", "xz", "yz")
    ]
    middle = panels[0].images[0].get_array()[10, 10]
    assert abs(middle - 3) < 0.01, "in percent"
    veil = [one.images[1].get_array()[10, 10, 3] for one in panels]
    assert veil[0] == veil[1] == 0
    assert veil[2] > 0.3
    assert "pale: less than 2 standard errors" in found["field-strain"].caption
    assert all(one.collections for one in panels), "the outline"


def test_a_field_without_errors_is_not_pale_anywhere() -> None:
    found = pictures(field(lattice(sigma=None), points=16))["field-strain"]
    assert "pale" not in found.caption
    assert "standard error" not in found.caption


def test_the_strain_of_core_and_shell_is_drawn_with_its_line_and_directions() -> None:
    radius = np.linalg.norm(BALL, axis=1)
    strain = 0.01 * BALL[:, 0]
    given = lattice().assign(
        radial=("atom", strain, {"units": "1"}),
        hoop=("atom", -strain, {"units": "1"}),
        interface_depth=("atom", 4 * (radius - radius.max()) + 3, {"units": "angstrom"}),
        surface=("atom", (radius > radius.max() - 0.3).astype(np.int8), {"units": "1"}),
    )
    found = pictures(core_shell(given))["core-shell-strain"]
    figure: Any = found.figure
    assert [text.get_text() for text in figure.axes[1].get_legend().get_texts()] == ["all", "<100>", "<110>", "<111>"]
    assert "slope" in found.caption
