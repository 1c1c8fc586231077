"""Probe-forming optics: aberrations, aperture, probe, on tensors of spatial frequencies."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Aberrations:
    """Coefficients of the phase of a lens: lengths in angstrom, azimuths in radian.

    `c10` is the negative of the defocus (under-focus is positive defocus), `c30` the spherical aberration Cs.
    """

    c10: float = 0.0
    c12: float = 0.0
    phi12: float = 0.0
    c21: float = 0.0
    phi21: float = 0.0
    c23: float = 0.0
    phi23: float = 0.0
    c30: float = 0.0
    c50: float = 0.0


def aberration_phase(qy: Tensor, qx: Tensor, wavelength: float, aberrations: Aberrations) -> Tensor:
    """Return the phase chi of a lens in radian; it acts as exp(-i chi).

    With alpha = wavelength * |q| and phi the azimuth of q from x to y,

        chi = 2 pi / lambda * (C10 alpha**2 / 2 + C12 alpha**2 cos 2(phi - phi12) / 2
              + C21 alpha**3 cos(phi - phi21) / 3 + C23 alpha**3 cos 3(phi - phi23) / 3
              + C30 alpha**4 / 4 + C50 alpha**6 / 6)

    Parameters
    ----------
    qy, qx
        Spatial frequencies, 1/angstrom; shapes that broadcast.
    wavelength
        Angstrom.
    aberrations
        Coefficients.

    References
    ----------
    E. J. Kirkland, Advanced Computing in Electron Microscopy (2010), doi:10.1007/978-1-4419-6533-2.
    """
    a = aberrations
    x, y = qx * wavelength, qy * wavelength
    square = x * x + y * y
    chi = square * (a.c10 / 2 + square * (a.c30 / 4 + square * (a.c50 / 6)))
    if a.c12:
        c, s = math.cos(2 * a.phi12), math.sin(2 * a.phi12)
        chi = chi + a.c12 / 2 * (c * (x * x - y * y) + s * (2 * x * y))
    if a.c21:
        chi = chi + a.c21 / 3 * square * (math.cos(a.phi21) * x + math.sin(a.phi21) * y)
    if a.c23:
        c, s = math.cos(3 * a.phi23), math.sin(3 * a.phi23)
        chi = chi + a.c23 / 3 * (c * (x**3 - 3 * x * y * y) + s * (3 * x * x * y - y**3))
    return 2 * math.pi / wavelength * chi


def aperture(qy: Tensor, qx: Tensor, wavelength: float, semi_angle: float, edge: float = 0.0) -> Tensor:
    """Return what a round aperture lets through: 1 inside, 0 outside, linear across its edge.

    Parameters
    ----------
    qy, qx
        Spatial frequencies, 1/angstrom; shapes that broadcast.
    wavelength
        Angstrom.
    semi_angle
        Radius, mrad, at the middle of the edge.
    edge
        Full width of the edge, mrad; 0 for a sharp one. A width of one reciprocal pixel makes the aperture
        independent of where the pixels lie.
    """
    alpha = torch.sqrt(qx * qx + qy * qy) * (wavelength * 1e3)
    if edge == 0:
        return (alpha <= semi_angle).to(alpha.dtype)
    return ((semi_angle - alpha) / edge + 0.5).clamp(0, 1)


def ring(qy: Tensor, qx: Tensor, wavelength: float, inner: float, outer: float, edge: float) -> Tensor:
    """Return how much of each frequency falls on an annular detector, from 0 to 1, linear across its edges.

    Parameters
    ----------
    qy, qx
        Spatial frequencies, 1/angstrom; shapes that broadcast to that of the result.
    wavelength
        Angstrom.
    inner, outer
        Radii, mrad, at the middle of the edges.
    edge
        Full width of the edges, mrad, above 0.
    """
    alpha = torch.sqrt(qx * qx + qy * qy) * (wavelength * 1e3)
    return ((outer - alpha) / edge + 0.5).clamp(0, 1) - ((inner - alpha) / edge + 0.5).clamp(0, 1)


def probe(
    qy: Tensor, qx: Tensor, wavelength: float, semi_angle: float, edge: float, aberrations: Aberrations
) -> Tensor:
    """Return the spectrum of a probe at the origin, A exp(-i chi), complex; the squares sum to 1.

    Parameters
    ----------
    qy, qx
        Spatial frequencies, 1/angstrom; shapes that broadcast to that of the result.
    wavelength, semi_angle, edge, aberrations
        As `aperture` and `aberration_phase` take them.
    """
    amplitude = aperture(qy, qx, wavelength, semi_angle, edge)
    chi = aberration_phase(qy.double(), qx.double(), wavelength, aberrations).to(amplitude.dtype)
    return torch.polar(amplitude / torch.sqrt((amplitude * amplitude).sum()), -chi.expand_as(amplitude))


def shift(qy: Tensor, qx: Tensor, position: Tensor, dtype: torch.dtype = torch.float64) -> Tensor:
    """Return exp(-2 pi i (q_x x + q_y y)), which moves a wave from the origin to each position.

    Parameters
    ----------
    qy, qx
        Spatial frequencies, 1/angstrom, shapes (rows, 1) and (1, columns).
    position
        x and y of each wave, angstrom, shape (waves, 2).
    dtype
        Real type of the phase.

    Returns
    -------
    Complex factors, shape (waves, rows, columns).
    """
    return turns(qy[:, 0], position[:, 1], dtype)[:, :, None] * turns(qx[0], position[:, 0], dtype)[:, None, :]


def turns(q: Tensor, where: Tensor, dtype: torch.dtype) -> Tensor:
    """Return exp(-2 pi i q r), shape (places, frequencies); whole cycles are taken off in double precision.

    Parameters
    ----------
    q
        Spatial frequencies, 1/angstrom, shape (frequencies,).
    where
        Places, angstrom, shape (places,).
    dtype
        Real type of the phase.
    """
    cycles = where.double()[:, None] * q.double()
    phase = (-2 * math.pi * (cycles - cycles.detach().round())).to(dtype)
    return torch.complex(torch.cos(phase), torch.sin(phase))
