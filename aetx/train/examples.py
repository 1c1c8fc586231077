"""Cubes that a network learns from: cut from pairs, mirrored, rescaled, with their targets."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from aetx.kernels.unit_peaks import REACH, unit_peaks
from aetx.train.pairs import F32, Pair
from aetx.train.settings import Training

F64 = NDArray[np.float64]

LOUD = (0.7, 1.6)
"""Least and greatest height of the strongest maxima of an input that is nothing but noise, over those of atoms."""
STRONGEST = 0.999
"""Quantile of the voxels that stands for the strongest maxima."""


def batch(pairs: Sequence[Pair], training: Training, step: int) -> tuple[F32, F32]:
    """Return inputs and targets of a step, each of shape (batch, 1, crop, crop, crop).

    They depend on the seed and on the number of the step alone, so that a training that goes on sees what it would
    have seen.
    """
    generator = np.random.default_rng([training.seed, step])
    examples = [example(pairs[int(generator.integers(len(pairs)))], training, generator) for _ in range(training.batch)]
    inputs, targets = (np.stack(one)[:, None] for one in zip(*examples, strict=True))
    return inputs, targets


def example(pair: Pair, training: Training, generator: np.random.Generator) -> tuple[F32, F32]:
    """Return a cube of a pair and its target, each of shape (crop, crop, crop).

    The cube lies anywhere in the volume and up to its margin beyond, where there is nothing. It is mirrored in
    any of x, y and z: these, and with them turns by 180 degrees, map tilts about y and a missing wedge about z onto
    themselves, which turns by 90 degrees do not. Its scale is changed, as the scale of a volume is never quite known.
    """
    edge = training.crop
    shape = np.array(pair.volume.shape)
    room = training.margin
    low, high = np.minimum(0, shape - edge) - room, np.maximum(0, shape - edge) + room
    corner = generator.integers(low, high + 1)
    cube, atom = cut(pair, corner, edge)
    cube, atom = mirrored(cube, atom, generator.random(3) < 0.5)
    cube *= np.float32(1 + generator.uniform(-training.scale_jitter, training.scale_jitter))
    if generator.random() < training.noise:
        return scrambled(cube, generator), np.zeros_like(cube)
    return np.ascontiguousarray(cube), unit_peaks(atom, training.width / pair.step, edge, edge, edge)


def cut(pair: Pair, corner: NDArray[np.integer], edge: int) -> tuple[F32, F64]:
    """Return the cube of a pair that begins at a voxel, zero outside the volume, and the atoms that it shows."""
    cube = np.zeros((edge,) * 3, np.float32)
    begin, end = np.maximum(corner, 0), np.minimum(corner + edge, pair.volume.shape)
    there = tuple(slice(a, b) for a, b in zip(begin, end, strict=True))
    here = tuple(slice(a, b) for a, b in zip(begin - corner, end - corner, strict=True))
    cube[here] = pair.volume[there]
    atom = pair.atom.astype(np.float64) - corner
    seen = ((atom > -2 * REACH) & (atom < edge - 1 + 2 * REACH)).all(axis=1)
    return cube, atom[seen]


def mirrored(cube: F32, atom: F64, mirror: NDArray[np.bool_]) -> tuple[F32, F64]:
    """Return a cube and its atoms mirrored in the middle plane of some axes, z, y, x."""
    axes = tuple(int(axis) for axis in np.flatnonzero(mirror))
    last = np.array(cube.shape) - 1.0
    return np.flip(cube, axes).copy(), np.where(mirror, last - atom, atom)


def scrambled(cube: F32, generator: np.random.Generator) -> F32:
    """Return noise with the power spectrum of a cube, its phases drawn anew, about as tall as atoms are."""
    white = np.fft.rfftn(generator.standard_normal(cube.shape, np.float32))
    spectrum = np.abs(np.fft.rfftn(cube)) * white / np.maximum(np.abs(white), 1e-12)
    spectrum[0, 0, 0] = 0
    noise = np.maximum(np.fft.irfftn(spectrum, cube.shape, axes=(0, 1, 2)), 0)
    strongest = float(np.quantile(noise, STRONGEST))
    if strongest <= 0:
        return np.zeros_like(cube)
    return (noise * (generator.uniform(*LOUD) / strongest)).astype(np.float32)
