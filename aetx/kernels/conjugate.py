"""Conjugate gradients for the least-squares reconstruction."""

from __future__ import annotations

import torch

from aetx.kernels.projection import Projector
from aetx.kernels.reconstruction import Look, Reconstruction, Scheme, Watch


def cgls(
    projector: Projector,
    images: torch.Tensor,
    scheme: Scheme,
    *,
    support: torch.Tensor | None = None,
    trusted: torch.Tensor | None = None,
    held: torch.Tensor | None = None,
    look: Look | None = None,
) -> Reconstruction:
    """Minimise half the squared misfit by conjugate gradients of the normal equations, from an empty volume.

    The arguments are those of `kernels.reconstruction.descend`; `step` and `positive` of the scheme have no meaning
    here. No volume in the span of the gradients seen so far fits better, the density of either sign.
    """
    watch = Watch(images, trusted, held, scheme)
    volume = torch.zeros(projector.volume_shape, dtype=torch.float32, device=projector.device)
    shown, residual = torch.zeros_like(images), _masked(images.clone(), trusted)
    gradient = _masked(projector.transpose(residual), support)
    towards, norm = gradient.clone(), _square(gradient)
    for number in range(1, scheme.iterations + 1):
        watch.see(shown)
        if watch.settled or norm == 0.0:
            break
        image = projector.project(towards)
        step = norm / _square(_masked(image.clone(), trusted))
        volume.add_(towards, alpha=step)
        shown = shown.add(image, alpha=step)
        residual = _masked(images - shown, trusted)
        gradient = _masked(projector.transpose(residual, gradient), support)
        before, norm = norm, _square(gradient)
        towards.mul_(norm / before).add_(gradient)
        if look is not None:
            look(number, volume)
    return watch.result(volume, shown)


def _masked(values: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    return values if mask is None else values.mul_(mask)


def _square(values: torch.Tensor) -> float:
    return float(values.square().sum(dtype=torch.float64))
