"""Where images of atoms are drawn and differentiated: on the processor, or by a twin of the same functions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft2, rfft2

from aetx.kernels.rendering import render
from aetx.kernels.sensitivity import change, collect, lines, own

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]


@dataclass(frozen=True)
class Drawing:
    """The functions of arrays that a fit to images spends its time in."""

    render: Callable[..., F32]
    """As `rendering.render`."""
    lines: Callable[..., Any]
    """As `sensitivity.lines`; what it returns is for the next three."""
    change: Callable[..., F32]
    """As `sensitivity.change`."""
    collect: Callable[..., F64]
    """As `sensitivity.collect`."""
    own: Callable[..., F64]
    """As `sensitivity.own`."""
    filtered: Callable[..., F32]
    """As `filtered`."""


def filtered(image: F32, transfer: F32) -> F32:
    """Return a periodic image, (rows, columns), times a real function of the half grid of frequencies."""
    made: F32 = irfft2(rfft2(image) * transfer, image.shape)
    return made


HOST = Drawing(render, lines, change, collect, own, filtered)
"""On the processor."""
