"""An MRC tilt series and its .rawtlt, opened lazily by xarray; what the file does not say is stated, never guessed."""

import tempfile
from pathlib import Path

import mrcfile
import numpy as np
import xarray as xr

import aetx.core  # noqa: F401 - gives every dataset its accessor `aetx`


def write_series(folder: Path) -> Path:
    """Write five images of 32 pixels and their angles, as a microscope would, without a pixel size."""
    images = np.random.default_rng(0).poisson(5.0, (5, 32, 32)).astype(np.float32)
    with mrcfile.new(folder / "pt.mrc") as file:
        file.set_data(images)
        file.set_image_stack()
    (folder / "pt.rawtlt").write_text("-60\n-30\n0\n30\n60\n", encoding="utf-8")
    return folder / "pt.mrc"


def main() -> tuple[str, list[float], float]:
    """Return the kind of what was opened, its tilts, and its pixel size."""
    with tempfile.TemporaryDirectory() as folder:
        path = write_series(Path(folder))
        with xr.open_dataset(
            path, engine="aetx", angles=str(path.with_suffix(".rawtlt")), pixel_size=0.358, units="count"
        ) as series:
            series.aetx.validate()
            step = float(series["x"][1] - series["x"][0])
            return series.aetx.kind.name, series["theta"].values.tolist(), step


if __name__ == "__main__":
    kind, tilts, step = main()
    print(f"a {kind} at {tilts} degrees, {step:.3f} angstrom per pixel")
