from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from aetx.errors import AetxWarning, InputError
from aetx.io.backend import AetxBackend

ANGLES = (-70.0, -35.0, 0.0, 35.0, 61.5)


def test_xarray_opens_a_stack_by_its_suffix_one_image_a_chunk(tmp_path: Path, stack: Any, mrc_bytes: Any) -> None:
    path = tmp_path / "s.st"
    path.write_bytes(mrc_bytes(stack))
    found = xr.open_dataset(path, engine="aetx", chunks={}, angles=ANGLES, units="count")
    assert found["image"].chunks == ((1,) * 5, (6,), (8,))
    np.testing.assert_array_equal(found["image"].values, stack)
    assert found.aetx.kind.name == "tilt_series"
    (tmp_path / "s.tlt").write_text("\n".join(map(str, ANGLES)))
    with pytest.warns(AetxWarning, match="found beside"):
        beside = xr.open_dataset(path)
    np.testing.assert_array_equal(beside["theta"].values, ANGLES)


def test_without_chunks_the_pixels_stay_in_the_file_and_pickle(tmp_path: Path, stack: Any, mrc_bytes: Any) -> None:
    path = tmp_path / "v.rec"
    path.write_bytes(mrc_bytes(stack))
    found = xr.open_dataset(path, units="count/pixel")
    assert not found["density"]._in_memory
    again = pickle.loads(pickle.dumps(found))
    np.testing.assert_allclose(again["density"][2].values, stack[2] / 0.34, rtol=1e-6)
    assert again["density"].attrs["units"] == "count/angstrom"


def test_a_stack_without_angles_says_what_to_pass(tmp_path: Path, stack: Any, mrc_bytes: Any) -> None:
    path = tmp_path / "s.mrc"
    path.write_bytes(mrc_bytes(stack))
    with pytest.raises(InputError, match="pass angles="):
        xr.open_dataset(path, engine="aetx")
    with pytest.raises(InputError, match="did you mean 'volume'"):
        xr.open_dataset(path, engine="aetx", kind="volumes")
    assert "density" in xr.open_dataset(path, engine="aetx", kind="volume")


def test_only_suffixes_that_nobody_else_owns_are_claimed() -> None:
    backend = AetxBackend()
    assert all(backend.guess_can_open(f"a{suffix}") for suffix in (".mrc", ".st", ".ali", ".rec", ".tvh5"))
    assert not any(backend.guess_can_open(f"a{suffix}") for suffix in (".h5", ".emd", ".tif", ".nc", ".zarr"))
    assert not backend.guess_can_open(b"bytes")
