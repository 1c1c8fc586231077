"""A volume on disk, as far as xarray can tell."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from xarray.backends import BackendArray
from xarray.core import indexing


class Stored(BackendArray):
    """Values that are read in parts; remembers how much was read at a time."""

    def __init__(self, values: NDArray[np.float32]) -> None:
        self.values, self.shape, self.dtype = values, values.shape, values.dtype
        self.most = 0

    def __getitem__(self, key: indexing.ExplicitIndexer) -> NDArray[np.float32]:
        found: NDArray[np.float32] = indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.BASIC, self._read
        )
        return found

    def _read(self, key: tuple[slice, ...]) -> NDArray[np.float32]:
        self.most = max(self.most, self.values[key].size)
        return self.values[key]
