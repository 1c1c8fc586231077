"""Atoms of one element."""

from __future__ import annotations

import numpy as np
import xarray as xr
from pydantic import Field

from aetx.core import Forecast, InputSizes, Params, stage
from aetx.core.element import Element, atomic_number
from aetx.model import ATOMS


class ElementParams(Params):
    """Parameters of `element`."""

    element: Element | None = Field(
        None, description="chemical symbol, or atomic number in quotes; none leaves the atoms as they are"
    )


def _forecast(inputs: InputSizes, _: ElementParams) -> Forecast:
    sizes = inputs["atoms"][0]
    atoms = sizes.get("atom", 1)
    return Forecast({"atom": atoms, "axis": 3}, memory=200 * atoms + 1, seconds=1e-3 + 1e-8 * atoms)


@stage("classify.element", takes={"atoms": ATOMS}, gives=ATOMS, params=ElementParams, version=1, forecast=_forecast)
def element(atoms: xr.Dataset, params: ElementParams) -> xr.Dataset:
    """Atoms that are all of one element: species = Z.

    Says what is known of the sample beforehand; nothing is measured. Files then name the element.
    """
    if params.element is None:
        return atoms
    number = np.full(atoms.sizes["atom"], atomic_number(params.element), np.int32)
    return atoms.assign(species=("atom", number, {"units": "1"}))
