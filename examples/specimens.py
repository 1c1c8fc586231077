"""Every specimen that aetx can simulate, drawn; with a folder as argument the pictures are saved there."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import xarray as xr

from aetx.core import Registry
from aetx.draw import draw
from aetx.model import ATOMS

CHOSEN: Mapping[str, Mapping[str, Any]] = {
    "accretion": {"atoms": 3000, "diameter": 44.0},
    "core_shell": {"shape": "octahedron"},
    "perovskite": {"size": 40.0},
}
"""Parameters where the defaults make too many atoms for a quick look, or show less."""


def specimens() -> dict[str, xr.Dataset]:
    """Return one specimen of each stage in the room `simulate` that needs no input and gives atoms."""
    stages = [Registry().stage(name) for name in Registry().stage_names() if name.startswith("simulate.")]
    makers = [one for one in stages if not one.takes and one.gives is ATOMS]
    return {one.name: one(**CHOSEN.get(one.name.partition(".")[2], {})) for one in makers}


def main(folder: Path | None = None) -> dict[str, int]:
    """Return the number of atoms of each specimen; save its pictures where there is a folder for them."""
    counts = {}
    for name, atoms in specimens().items():
        counts[name] = atoms.sizes["atom"]
        for picture in draw(atoms):
            if folder is not None:
                folder.mkdir(parents=True, exist_ok=True)
                (folder / f"{name}-{picture.name}.png").write_bytes(picture.png())
    return counts


if __name__ == "__main__":
    for name, count in main(Path(sys.argv[1]) if len(sys.argv) > 1 else None).items():
        print(f"{name}: {count} atoms")
