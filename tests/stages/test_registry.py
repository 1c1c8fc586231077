"""structure.registry"""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from aetx.errors import AetxWarning, InputError
from aetx.stages.lattice.fit import fit
from aetx.stages.simulate.core_shell import core_shell
from aetx.stages.structure.interface import interface
from aetx.stages.structure.registry import registry


def made(**params: float | str) -> xr.Dataset:
    atoms = core_shell(atoms=3000, core_fraction=0.3, **params)  # type: ignore[arg-type]
    return fit(interface(atoms), type="fcc")


def test_a_coherent_particle_is_in_registry_and_its_core_is_the_elastic_one() -> None:
    lattice = made(interface_width=0.0, core_lattice_constant=3.80, shell_lattice_constant=4.00, shape="sphere")
    found = registry(lattice)
    share = float((lattice["species"] == 46).mean())
    mean = share * 3.80 + (1 - share) * 4.00
    strain = -(1 - share) * (0.2 / mean) * (1 + 0.39) / (3 * (1 - 0.39))
    assert float(found["lattice_constant"][0]) == pytest.approx(mean * (1 + strain), abs=0.004)
    assert float(found["misfit"]) > 3 * float(found["misfit_error"])
    assert float(found["turn"]) < 0.1
    assert float(found["registry"]) < 0.35
    assert float(found["coherent"]) > 0.98


def test_a_turned_shell_is_turned_by_as_much() -> None:
    lattice = made(shell_lattice_constant=3.89, displacement=0.05)
    shell = lattice["interface_depth"].values > 0
    angle = np.radians(1.5)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    place = lattice["position"].values.copy()
    place[shell] = place[shell] @ turn.T
    found = registry(lattice.assign(position=(lattice["position"].dims, place, {"units": "angstrom"})))
    assert float(found["turn"]) == pytest.approx(1.5, abs=3 * float(found["turn_error"]) + 0.01)
    assert abs(float(found["misfit"])) < 4 * float(found["misfit_error"])


def test_an_offset_of_the_shell_is_found() -> None:
    lattice = made(shell_lattice_constant=3.89)
    shell = lattice["interface_depth"].values > 0
    place = lattice["position"].values + np.where(shell[:, None], [0.3, 0.0, -0.4], 0.0)
    found = registry(lattice.assign(position=(lattice["position"].dims, place, {"units": "angstrom"})))
    assert found["offset"].values == pytest.approx([0.3, 0.0, -0.4], abs=0.02)
    assert float(found["registry"]) == pytest.approx(0.5, abs=0.02)


@pytest.mark.filterwarnings("ignore:.*of the core are too few")
def test_what_is_missing_is_named() -> None:
    lattice = made(displacement=0.05)
    with pytest.raises(InputError, match=r"structure\.interface"):
        registry(lattice.drop_vars("interface_depth"))
    with pytest.warns(AetxWarning, match="0 atoms of the shell are too few"):
        found = registry(lattice, margin=11.0)
    assert np.isnan(found["misfit"])
