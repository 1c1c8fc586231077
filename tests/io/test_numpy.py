from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aetx.io import open_input
from aetx.model import TILT_SERIES

STATED = {"pixel_size": 0.34, "angles": (-70.0, -35.0, 0.0, 35.0, 61.5), "axes": ["tilt", "y", "x"]}


@pytest.mark.parametrize("kind", ["<f4", ">f4", "<u2", ">i8", "u1", "f2"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_come_back_as_written(tmp_path: Path, stack: Any, kind: str, order: Any) -> None:
    written = np.asarray(stack.astype(kind), order=order)
    np.save(tmp_path / "s.npy", written)
    np.savez(tmp_path / "a.npz", images=written, one=1.0)
    np.savez_compressed(tmp_path / "b.npz", images=written)
    for name in ("s.npy", "a.npz", "b.npz"):
        found = open_input([tmp_path / name], kind=TILT_SERIES, stated=STATED)
        np.testing.assert_array_equal(found["image"].values, written)
        np.testing.assert_array_equal(found["image"][1:3, ::-2, 4].values, written[1:3, ::-2, 4])
        assert found["image"].dtype.isnative


class Canary:
    def __reduce__(self) -> Any:
        return exec, ("raise SystemExit('code ran')",)


def test_pickles_are_refused_and_never_run(tmp_path: Path, refused: Any) -> None:
    np.save(tmp_path / "s.npy", np.array([Canary()], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "s.npz", images=np.array([Canary()], dtype=object))
    assert "pickled" in refused(tmp_path / "s.npy", stated=STATED)
    assert "pickled" in refused(tmp_path / "s.npz", stated=STATED | {"variable": "images"})
    assert "one array" in refused(tmp_path / "s.npz", stated=STATED)


def test_damaged_files_are_refused(tmp_path: Path, stack: Any, refused: Any) -> None:
    path = tmp_path / "s.npy"
    np.save(path, stack)
    content = path.read_bytes()
    huge = content.replace(b"(5, 6, 8)", b"(9000000000, 6, 8)"[:9].ljust(9))
    for bad in (content[:-1], content[:64], content[:5], b"", huge, content.replace(b"<f4", b"|O8")[: len(content)]):
        path.write_bytes(bad)
        refused(path, stated=STATED)
    path.write_bytes(content.replace(b"(5, 6, 8), }         ", b"(900000, 900000, 8), }"[:21]))
    refused(path, stated=STATED)
    np.savez(tmp_path / "s.npz", images=stack)
    archive = (tmp_path / "s.npz").read_bytes()
    for size in (10, len(archive) // 2, len(archive) - 5):
        (tmp_path / "s.npz").write_bytes(archive[:size])
        refused(tmp_path / "s.npz", stated=STATED)
    np.save(path, stack.astype(np.complex64))
    assert "complex" in refused(path, stated=STATED)
