"""Linear projection of a volume along the beam, and its exact transpose, for any orientation.

One algorithm serves every geometry. A volume axis that lies close to the image plane is kept as the dense axis of a
matrix whose rows are the voxels of the other two; projecting is then a few products of a sparse with a dense matrix
(one for each whole-voxel shift along the dense axis), and a warp of the small images. With a single tilt axis
there is one product and no warp. The transpose multiplies by the transposed matrices.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.sparse
import torch
from numpy.typing import NDArray

F64 = NDArray[np.float64]
Entry = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]

GRAIN = 1e-6
"""Positions are rounded to this fraction of a voxel, so that lattices which coincide do so exactly."""
STRAIGHT = 1e-3
"""Images whose warp moves no pixel by more than this many pixels are not warped."""
SLANT = 0.8
"""One dense axis serves all tilts if it stays at least this long in the image plane."""

with warnings.catch_warnings():  # torch says once that its CSR support is in beta
    warnings.simplefilter("ignore")
    torch.sparse_csr_tensor([0, 1], [0], [1.0], (1, 1), check_invariants=False)


@dataclass(frozen=True)
class Grid:
    """An even grid of step 1: size and first coordinate of each axis, in array order."""

    shape: tuple[int, ...]
    start: tuple[float, ...]

    @classmethod
    def centred(cls, *shape: int) -> Grid:
        """Return the grid whose zero is at index n//2 of each axis."""
        return cls(shape, tuple(-float(n // 2) for n in shape))


def rotation(phi: F64, theta: F64, psi: F64) -> F64:
    """Return R = Rz(phi) Ry(theta) Rx(psi), angles in radian of shape (tilts,), shape (tilts, 3, 3)."""
    (cz, cy, cx), (sz, sy, sx) = np.cos([phi, theta, psi]), np.sin([phi, theta, psi])
    rows = [
        [cz * cy, cz * sy * sx - sz * cx, cz * sy * cx + sz * sx],
        [sz * cy, sz * sy * sx + cz * cx, sz * sy * cx - cz * sx],
        [-sy, cy * sx, cy * cx],
    ]
    return np.moveaxis(np.array(rows, float), -1, 0)


class Projector:
    """Sum of a volume along the beam at each tilt, p = transpose(R) r, and the transpose of that map.

    Inside, volumes are tensors of shape (z, x, y) and images of shape (tilt, x, y): see `volume_in`, `images_in`.
    The total of an image is the total of the volume, if the object lies inside the field of view and the box.

    Parameters
    ----------
    rotations
        R of each tilt, shape (tilts, 3, 3).
    volume
        Grid of the volume (z, y, x), in voxels from the rotation centre.
    image
        Grid of the images (y, x), in voxels from the rotation centre.
    device
        Where torch computes.
    """

    def __init__(self, rotations: F64, volume: Grid, image: Grid, device: str = "cpu") -> None:
        self.rotations = np.asarray(rotations, float)
        self.volume, self.image, self.device = volume, image, device
        z, y, x = volume.shape
        self.volume_shape = (z, x, y)
        self.image_shape = (len(self.rotations), image.shape[1], image.shape[0])
        groups: dict[tuple[int, int], list[int]] = {}
        for tilt, choice in enumerate(dense_axes(self.rotations)):
            groups.setdefault(choice, []).append(tilt)
        self._groups = [
            _Group(self.rotations, tilts, choice, volume, image, device) for choice, tilts in groups.items()
        ]

    @property
    def matrix_bytes(self) -> int:
        """Bytes held by the matrices."""
        return sum(group.matrix_bytes for group in self._groups)

    def volume_in(self, density: NDArray[np.float32]) -> torch.Tensor:
        """Return a volume (z, y, x) as a tensor on the device."""
        return torch.as_tensor(density, dtype=torch.float32).permute(0, 2, 1).contiguous().to(self.device)

    def volume_out(self, volume: torch.Tensor) -> NDArray[np.float32]:
        """Return a tensor as a volume (z, y, x)."""
        found: NDArray[np.float32] = volume.permute(0, 2, 1).contiguous().cpu().numpy()
        return found

    def images_in(self, images: NDArray[np.float32]) -> torch.Tensor:
        """Return images (tilt, y, x) as a tensor on the device."""
        return self.volume_in(images)

    def images_out(self, images: torch.Tensor) -> NDArray[np.float32]:
        """Return a tensor as images (tilt, y, x)."""
        return self.volume_out(images)

    def project(self, volume: torch.Tensor) -> torch.Tensor:
        """Return the images of a volume."""
        if len(self._groups) == 1:
            return self._groups[0].project(volume)
        images = torch.empty(self.image_shape, dtype=torch.float32, device=self.device)
        for group in self._groups:
            images[group.tilts] = group.project(volume)
        return images

    def transpose(self, images: torch.Tensor, out: torch.Tensor | None = None) -> torch.Tensor:
        """Return the transpose of `project` applied to images, written into `out` if that is given."""
        if out is None:
            out = torch.empty(self.volume_shape, dtype=torch.float32, device=self.device)
        for number, group in enumerate(self._groups):
            chosen = images if len(self._groups) == 1 else images[group.tilts]
            group.transpose(chosen, out, first=number == 0)
        return out


def dense_axes(rotations: F64) -> list[tuple[int, int]]:
    """Return for each tilt the volume axis (0 x, 1 y, 2 z) to keep dense and the image axis (0 x, 1 y) nearest to it.

    The same pair serves all tilts where one stays near the image axis throughout; y with y wins ties.
    """
    pairs = [(1, 1), (0, 0), (1, 0), (0, 1), (2, 1), (2, 0)]
    length = np.abs(np.stack([rotations[:, axis, side] for axis, side in pairs]))
    least = np.round(length.min(axis=1), 9)
    if least.max() >= SLANT:
        return [pairs[int(least.argmax())]] * len(rotations)
    return [pairs[best] for best in np.round(length, 9).argmax(axis=0)]


def keys(s: F64) -> F64:
    """Return the cubic interpolation kernel of Keys (1981, doi:10.1109/TASSP.1981.1163711), a = -1/2."""
    a = np.abs(s)
    inner = (1.5 * a - 2.5) * a * a + 1.0
    outer = ((-0.5 * a + 2.5) * a - 4.0) * a + 2.0
    return np.where(a < 1, inner, np.where(a < 2, outer, 0.0))


def remap(size: int, start: float, cells: int, first: float, scale: float) -> F64:
    """Return the matrix that hands the contents of cells centred at scale * (first + j) to pixels start + i.

    Totals and constants are kept: the running total at the edges of the cells is interpolated with `keys` at the
    edges of the pixels. Shape (size, cells).
    """
    width = abs(scale)
    low = scale * (first + np.arange(cells)) - width / 2
    edges = (start + np.arange(size + 1)[:, None] - 0.5 - low) / width
    reached = sum(keys(np.minimum(edges, 2.5) - m) for m in range(1, 5))
    return np.diff(np.where(edges >= 2, 1.0, reached), axis=0)


class _Group:
    """The tilts that share a dense axis. Volumes come as (z, x, y), images go as (tilt, x, y)."""

    def __init__(
        self, rotations: F64, tilts: list[int], choice: tuple[int, int], volume: Grid, image: Grid, device: str
    ) -> None:
        self.tilts, self.choice = tilts, choice
        axis, side = choice
        turned = rotations[tilts]
        outer = [other for other in (2, 0, 1) if other != axis]
        sizes = dict(zip((2, 1, 0), volume.shape, strict=True))
        starts = dict(zip((2, 1, 0), volume.start, strict=True))
        self.order = [(2, 0, 1).index(other) for other in (*outer, axis)]
        self.shape = (sizes[outer[0]] * sizes[outer[1]], sizes[axis])
        v_size, u_size = image.shape if side == 1 else image.shape[::-1]
        v_start, u_start = image.start if side == 1 else image.start[::-1]
        scale, shear = turned[:, axis, side], turned[:, axis, 1 - side]

        reach = max(abs(v_start), abs(v_start + v_size - 1)) + 3
        straight = np.abs(scale - 1).max() * reach < STRAIGHT and np.abs(shear).max() * reach < STRAIGHT
        if straight:
            self.warp: _Warp | None = None
            first, margin, self.frame = np.full(len(tilts), v_start), 0, (u_size, v_size)
        else:
            ends = np.stack([(v_start - 2.5) / scale, (v_start + v_size + 1.5) / scale])
            first = v_start + np.floor(np.minimum(ends[0], ends[1]) - v_start) - 1
            cells = int(np.ceil(np.max(np.maximum(ends[0], ends[1]) - first))) + 2
            farthest = np.maximum(np.abs(first), np.abs(first + cells - 1))
            margin = int(np.ceil(np.max(np.abs(shear) * farthest))) + 2
            self.frame = (u_size + 2 * margin, cells)
            self.warp = _Warp(scale, shear, first, cells, margin, (u_size, v_size), v_start, device)
        points = np.stack(
            np.meshgrid(*(starts[o] + np.arange(sizes[o]) for o in outer), indexing="ij"), axis=-1
        ).reshape(-1, 2)
        self.products = list(self._products(turned, outer, points, first, u_start - margin, starts[axis], device))

    @property
    def matrix_bytes(self) -> int:
        held = [matrix for _, *pair in self.products for matrix in pair]
        parts = [part for m in held for part in (m.values(), m.col_indices(), m.crow_indices())]
        return sum(part.numel() * part.element_size() for part in parts)

    def project(self, volume: torch.Tensor) -> torch.Tensor:
        dense = volume.permute(self.order).reshape(self.shape)
        rows, columns = len(self.tilts) * self.frame[0], self.frame[1]
        plane = torch.zeros((rows, columns), dtype=torch.float32, device=volume.device)
        for shift, matrix, _ in self.products:
            into, source = self._overlap(shift)
            part = plane[:, into]
            torch.addmm(part, matrix, dense[:, source], out=part)
        images = plane.view(len(self.tilts), *self.frame)
        if self.warp is not None:
            images = self.warp.project(images)
        return images if self.choice[1] == 1 else images.transpose(1, 2).contiguous()

    def transpose(self, images: torch.Tensor, out: torch.Tensor, first: bool) -> None:
        if self.choice[1] == 0:
            images = images.transpose(1, 2)
        if self.warp is not None:
            images = self.warp.transpose(images.contiguous())
        plane = images.reshape(-1, self.frame[1])
        direct = first and self.order == [0, 1, 2]
        dense = out.view(self.shape) if direct else out.new_empty(self.shape)
        whole = slice(0, self.shape[1])
        if not (self.products and self._overlap(self.products[0][0])[1] == whole):
            dense.zero_()
            fresh = False
        else:
            fresh = True
        for number, (shift, _, matrix) in enumerate(self.products):
            source, into = self._overlap(shift)
            part = dense[:, into]
            torch.addmm(part, matrix, plane[:, source], beta=0 if fresh and number == 0 else 1, out=part)
        if not direct:
            sizes = [out.shape[place] for place in self.order]
            back = dense.view(sizes).permute([self.order.index(place) for place in range(3)])
            if first:
                out.copy_(back)
            else:
                out.add_(back)

    def _overlap(self, shift: int) -> tuple[slice, slice]:
        """Return the cells i and the voxels j with i = j + shift that both exist."""
        low, high = max(0, shift), min(self.frame[1], self.shape[1] + shift)
        return slice(low, high), slice(low - shift, high - shift)

    def _products(
        self,
        turned: F64,
        outer: list[int],
        points: F64,
        first: F64,
        u_first: float,
        v_first: float,
        device: str,
    ) -> Iterator[tuple[int, torch.Tensor, torch.Tensor]]:
        """Yield for each shift the matrix from voxels to cells (tilt, u) and its transpose."""
        axis, side = self.choice
        made: dict[int, dict[int, scipy.sparse.csr_array]] = {}
        for tilt, r in enumerate(turned):
            slope = r[outer, side] / r[axis, side]
            u = np.round(points @ (r[outer, 1 - side] - slope * r[axis, 1 - side]) - u_first, 6)
            v = np.round(points @ slope + v_first - first[tilt], 6)
            found: dict[int, list[Entry]] = {}
            for shift, entry in _entries(u, v, self.frame, self.shape[1]):
                found.setdefault(shift, []).append(entry)
            for shift, entries in found.items():
                rows, columns, weights = (np.concatenate(parts) for parts in zip(*entries, strict=True))
                matrix = scipy.sparse.coo_array((weights, (rows, columns)), (self.frame[0], len(points))).tocsr()
                made.setdefault(shift, {})[tilt] = matrix
        empty = scipy.sparse.csr_array((self.frame[0], len(points)), dtype=np.float32)
        for shift in sorted(made):
            parts = made.pop(shift)
            stack = scipy.sparse.vstack([parts.get(tilt, empty) for tilt in range(len(turned))], format="csr")
            yield shift, _to_torch(stack, device), _to_torch(stack.T.tocsr(), device)


def _entries(u: F64, v: F64, frame: tuple[int, int], voxels: int) -> Iterator[tuple[int, Entry]]:
    """Yield for each shift the rows u, columns and weights of linear interpolation in u and v."""
    below, row = np.floor(v).astype(np.int64), np.floor(u).astype(np.int64)
    along, across = (v - below).astype(np.float32), (u - row).astype(np.float32)
    seen = (row >= -1) & (row < frame[0]) & (below >= -voxels) & (below < frame[1])
    for base in np.unique(below[seen]):
        columns = np.flatnonzero(seen & (below == base))
        for step, part in ((0, 1 - along[columns]), (1, along[columns])):
            if not -voxels < base + step < frame[1]:
                continue
            rows = np.concatenate([row[columns], row[columns] + 1])
            weights = np.concatenate([part * (1 - across[columns]), part * across[columns]])
            kept = (weights > GRAIN) & (rows >= 0) & (rows < frame[0])
            if kept.any():
                yield int(base) + step, (rows[kept], np.concatenate([columns, columns])[kept], weights[kept])


def _to_torch(matrix: scipy.sparse.csr_array, device: str) -> torch.Tensor:
    rows, columns = (torch.from_numpy(np.asarray(part, np.int32)) for part in (matrix.indptr, matrix.indices))
    weights = torch.from_numpy(np.asarray(matrix.data, np.float32))
    size = (int(matrix.shape[0]), int(matrix.shape[1]))
    return torch.sparse_csr_tensor(rows, columns, weights, size=size, check_invariants=False).to(device)


class _Warp:
    """From sheared cells (tilt, u + margins, cell) to pixels (tilt, u, v): u shifts by shear * cell, v scales."""

    def __init__(
        self,
        scale: F64,
        shear: F64,
        first: F64,
        cells: int,
        margin: int,
        size: tuple[int, int],
        v_start: float,
        device: str,
    ) -> None:
        self.size, self.margin, self.cells = size, margin, cells
        stretch = np.stack([remap(size[1], v_start, cells, a, s) for a, s in zip(first, scale, strict=True)])
        self.stretch = torch.from_numpy(stretch.astype(np.float32)).to(device)
        moved = shear[:, None] * (first[:, None] + np.arange(cells))
        base = np.floor(-moved)
        taps = np.arange(-1, 3)[:, None, None, None]
        self.base = torch.from_numpy(base.astype(np.int64))[:, None].to(device)
        self.weight = torch.from_numpy(keys(taps - (-moved - base)[:, None]).astype(np.float32)).to(device)
        self.pixel = torch.arange(size[0], device=device)[:, None]
        self.wide = torch.arange(size[0] + 2 * margin, device=device)[:, None]

    def project(self, images: torch.Tensor) -> torch.Tensor:
        straight = self._taps(images, self.pixel + (self.margin + self.base), 1)
        return torch.bmm(straight, self.stretch.transpose(1, 2))

    def transpose(self, images: torch.Tensor) -> torch.Tensor:
        cells = torch.bmm(images, self.stretch)
        framed = torch.nn.functional.pad(cells, (0, 0, 1, 1))
        return self._taps(framed, self.wide - (self.margin + self.base) + 1, -1)

    def _taps(self, images: torch.Tensor, start: torch.Tensor, sign: int) -> torch.Tensor:
        """Sum four rows around the row `start` of each pixel; rows beyond the ends of an image are its end rows."""
        total = torch.zeros(start.shape, dtype=images.dtype, device=images.device)
        for number in range(4):
            row = (start + sign * (number - 1)).clamp_(0, images.shape[1] - 1)
            total.addcmul_(torch.gather(images, 1, row), self.weight[number])
        return total
