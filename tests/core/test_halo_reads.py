"""Blocks of a volume that is not read yet: each reads its own neighbourhood, and nobody reads the whole."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from numpy.typing import NDArray
from xarray.backends import BackendArray
from xarray.core import indexing

from aetx.core.halo import Box, halo_map, halo_tables

SIZE, BLOCK, DEPTH = 24, 8, 2


class Source(BackendArray):
    """An array that remembers how much was read of it at a time."""

    def __init__(self) -> None:
        self.shape = (SIZE,) * 3
        self.dtype = np.dtype(np.float32)
        self.most = 0

    def __getitem__(self, key: indexing.ExplicitIndexer) -> NDArray[np.float32]:
        found: NDArray[np.float32] = indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.BASIC, self._read
        )
        return found

    def _read(self, key: tuple[slice, ...]) -> NDArray[np.float32]:
        part = np.arange(SIZE**3, dtype=np.float32).reshape(self.shape)[key]
        self.most = max(self.most, part.size)
        return part


def total(block: NDArray[np.float32], box: Box, outer: Box) -> float:
    return float(block.sum())


@pytest.fixture
def source() -> Source:
    return Source()


def lazy(source: Source) -> xr.DataArray:
    return xr.DataArray(xr.Variable(("z", "y", "x"), indexing.LazilyIndexedArray(source)))


def test_a_table_of_blocks_reads_one_neighbourhood_at_a_time(source: Source) -> None:
    made = halo_tables(total, lazy(source), depth=DEPTH, block=(BLOCK,) * 3)
    assert len(made) == 27
    assert source.most == (BLOCK + 2 * DEPTH) ** 3


def test_blocks_that_nobody_wants_are_not_read(source: Source) -> None:
    made = halo_tables(total, lazy(source), depth=DEPTH, block=(BLOCK,) * 3, wanted=lambda box: box[0][0] == BLOCK)
    every = halo_tables(total, lazy(source), depth=DEPTH, block=(BLOCK,) * 3)
    assert made == every[9:18]
    source.most = 0
    assert halo_tables(total, lazy(source), depth=DEPTH, block=(BLOCK,) * 3, wanted=lambda _: False) == []
    assert source.most == 0


def test_a_map_over_blocks_reads_nothing_before_and_one_neighbourhood_at_a_time_then(source: Source) -> None:
    made = halo_map(np.negative, lazy(source), depth=DEPTH, block=(BLOCK,) * 3)
    assert source.most == 0
    np.testing.assert_array_equal(made, -np.arange(SIZE**3, dtype=np.float32).reshape(made.shape))
    assert source.most == (BLOCK + 2 * DEPTH) ** 3


def test_an_error_names_its_block(source: Source) -> None:
    def fails(block: NDArray[np.float32], box: Box, outer: Box) -> float:
        if box[0][0] == 8:
            raise ValueError("no")
        return 0.0

    with pytest.raises(ValueError, match="no") as caught:
        halo_tables(fails, lazy(source), depth=0, block=(BLOCK, SIZE, SIZE))
    assert "in block ((8, 16), (0, 24), (0, 24))" in caught.value.__notes__
