"""Small particles as files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from aetx.stages.export.mrc import mrc
from tests.conftest import make_volume


def write_volume(path: Path, empty: bool = False) -> None:
    """Write thirteen atoms as MRC, or nothing but vacuum."""
    volume = make_volume()
    if empty:
        volume["density"] = volume["density"] * np.float32(0)
        volume["density"].attrs["units"] = "count/angstrom"
    path.write_bytes(np.asarray(mrc(volume)["content"].values).tobytes())
