"""A stage of your own: parameters, a declaration, a function. In a package it is found by an entry point."""

import numpy as np
import xarray as xr
from pydantic import Field

from aetx.core import Length, Params, Registry, stage
from aetx.model import ATOMS


class ShellParams(Params):
    """Parameters of `shell`."""

    radius: Length = Field(5.0, gt=0, le=1000, description="atoms nearer to the mean position are dropped")


@stage("trace.shell", takes={"atoms": ATOMS}, gives=ATOMS, params=ShellParams)
def shell(atoms: xr.Dataset, params: ShellParams) -> xr.Dataset:
    """Atoms of the outer shell: |r - mean(r)| >= radius."""
    offset = atoms["position"] - atoms["position"].mean("atom")
    return atoms.isel(atom=np.flatnonzero(np.sqrt((offset**2).sum("axis")) >= params.radius))


def main() -> tuple[int, int]:
    """Return how many atoms a particle has, and how many of them are in its shell."""
    atoms = Registry().stage("simulate.particle")(smallest=16.0, largest=16.0)
    return atoms.sizes["atom"], shell(atoms, radius=6.0).sizes["atom"]


if __name__ == "__main__":
    whole, outer = main()
    print(f"{outer} of {whole} atoms are in the shell")
