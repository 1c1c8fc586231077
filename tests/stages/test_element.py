"""classify.element"""

from __future__ import annotations

import pytest
import xarray as xr
from pydantic import ValidationError

from aetx.stages.classify.element import element


@pytest.mark.parametrize(("name", "number"), [("Ta", 73), ("14", 14)])
def test_all_atoms_become_the_element_and_stay_where_they_are(small_atoms: xr.Dataset, name: str, number: int) -> None:
    made = element(small_atoms, element=name)
    assert (made["species"] == number).all()
    assert made["species"].dtype == "int32"
    xr.testing.assert_identical(made.drop_vars("species"), small_atoms.drop_vars("species"))


def test_a_word_that_is_no_element_is_refused(small_atoms: xr.Dataset) -> None:
    with pytest.raises(ValidationError, match="chemical symbol"):
        element(small_atoms, element="Pz")


def test_without_an_element_the_atoms_stay_unknown(small_atoms: xr.Dataset) -> None:
    xr.testing.assert_equal(element(small_atoms), small_atoms)
