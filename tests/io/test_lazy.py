from __future__ import annotations

import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from aetx.errors import InputError
from aetx.io import lazy, open_input
from aetx.io.lazy import Identity, RawArray, View
from aetx.model import TILT_SERIES

ANGLES = (-70.0, -35.0, 0.0, 35.0, 61.5)
STATED = {"angles": ANGLES, "pixel_size": 0.34}


def _axis(size: int) -> Any:
    ends = st.integers(-size, size)
    return st.one_of(
        st.integers(0, size - 1), st.builds(slice, ends, ends, st.sampled_from([None, 1, 2])), st.just(slice(None))
    )


@given(key=st.tuples(_axis(4), _axis(3), _axis(5)), order=st.sampled_from(["C", "F"]))
@settings(max_examples=60, deadline=None)
def test_any_part_of_a_raw_array_is_what_numpy_gives(
    tmp_path_factory: pytest.TempPathFactory, key: Any, order: Any
) -> None:
    path = tmp_path_factory.mktemp("raw") / "a.bin"
    whole = np.arange(60, dtype=">i4").reshape(4, 3, 5)
    path.write_bytes(b"head" + whole.tobytes(order=order))
    raw = RawArray(Identity.of(path), 4, whole.shape, whole.dtype, order)
    np.testing.assert_array_equal(np.asarray(raw.variable(("z", "y", "x"))[key]), whole[key])
    turned = View(raw.variable(("z", "y", "x")), (2, 0, 1), 0.5).variable(("x", "z", "y"))
    np.testing.assert_array_equal(
        np.asarray(turned[key[2], key[0], key[1]]), whole.transpose(2, 0, 1)[key[2], key[0], key[1]] / 2
    )


def test_one_image_is_read_without_the_others(tmp_path: Path, mrc_bytes: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "s.mrc"
    stack = np.random.default_rng(0).random((5, 60, 80), np.float32)
    path.write_bytes(mrc_bytes(stack))
    found = open_input([path], kind=TILT_SERIES, stated={"angles": ANGLES})
    sizes: list[int] = []
    plain = lazy.pread

    def counted(path: Path, offset: int, size: int) -> bytes:
        sizes.append(size)
        return plain(path, offset, size)

    monkeypatch.setattr(lazy, "pread", counted)
    np.testing.assert_array_equal(found["image"][3].values, stack[3])
    assert sum(sizes) == stack[3].nbytes


def _total(found: xr.Dataset) -> float:
    return float(found["image"].sum().compute(scheduler="synchronous"))


def test_lazy_arrays_pickle_to_another_process(tmp_path: Path, stack: Any, mrc_bytes: Any) -> None:
    (tmp_path / "s.mrc").write_bytes(mrc_bytes(stack))
    tifffile.imwrite(tmp_path / "s.tif", stack, photometric="minisblack")
    np.savez(tmp_path / "s.npz", stack)
    opened = [
        open_input([tmp_path / name], kind=TILT_SERIES, stated=STATED | more)
        for name, more in (("s.mrc", {}), ("s.tif", {}), ("s.npz", {"axes": ["tilt", "y", "x"]}))
    ]
    assert [_total(pickle.loads(pickle.dumps(one))) for one in opened] == [float(stack.sum())] * 3
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        assert list(pool.map(_total, opened)) == [float(stack.sum())] * 3


@pytest.mark.parametrize("change", ["cut", "replaced", "longer", "gone"])
def test_a_file_that_changes_after_opening_is_an_error(tmp_path: Path, stack: Any, mrc_bytes: Any, change: str) -> None:
    path = tmp_path / "s.mrc"
    content = mrc_bytes(stack)
    path.write_bytes(content)
    found = open_input([path], kind=TILT_SERIES, stated={"angles": ANGLES})
    if change == "cut":
        path.write_bytes(content[:1500])
    elif change == "longer":
        path.write_bytes(content + b"more")
    elif change == "replaced":
        (tmp_path / "other").write_bytes(mrc_bytes(stack + 1))
        (tmp_path / "other").rename(path)
    else:
        path.unlink()
    with pytest.raises(InputError, match="leave"):
        found.load()
