"""What residuals say about a fit: by how much model error widens its error bars, and whether each site is an atom."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from aetx.kernels.bound import Bound
from aetx.kernels.refinement import Linear
from aetx.kernels.sensitivity import lines, own
from aetx.kernels.uncertainty import Drawn, covariance, draw, exact, scores

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

LEAST = 1e-12
"""Determinant of what an image tells of an atom's place, relative to the squared trace, that counts as nothing."""


@dataclass(frozen=True)
class Excess:
    """Mean square of what images and model disagree about, over what noise alone would leave after the same fit."""

    tilts: F64
    """Of each image, over all atoms, shape (T,); 1 where noise explains it."""
    atoms: F64
    """Of each atom, over all images, drawn towards the mean of all as far as noise alone spreads it, shape (N,)."""
    raw: F64
    """The same as it was found, shape (N,)."""


def own_information(linear: Linear) -> F64:
    """Return what each image tells of the place of each atom in it and of its relative height: (T, N, 3, 3).

    Lengths in angstrom. Where an atom has a profile, it is taken as a Gaussian of its effective width.
    """
    state, scene = linear.state, linear.scene

    def work(tilt: int) -> F64:
        x, y, _ = linear.places[tilt]
        wide = np.hypot(state.width, scene.effective[state.sort]) / scene.step
        height = state.height * state.scale[tilt]
        factor = np.stack([np.full(height.size, 1 / scene.step)] * 2 + [height], axis=1)
        made = own(linear.weight[tilt], lines(x, y, wide, *scene.shape), height)[:, :3, :3]
        made *= factor[:, :, None] * factor[:, None, :]
        return made

    return np.stack(scene.each(work))


def excess(linear: Linear, residuals: F32, drawn: Drawn) -> Excess:
    """Compare the scores that residuals leave with those that noise alone leaves after the same fit.

    Each image by itself would move an atom by inverse(F) s, with its score s and its information F about the place in
    that image; s F^-1 s measures how far the images disagree, in units of the noise. Errors of the model that are not
    shared by the images (channelling, angles, distortions, intensities) make it larger than the same measure for drawn
    noise, whose fit has absorbed just as much. The ratio is a sandwich estimate with the images as clusters:
    covariances times the ratio are those that the images themselves show. What is wrong in all alike stays unseen, and
    what neighbouring images share is seen in part: in multislice images of 27 times the usual dose, atoms err 20 %
    more along the tilt axis than the widened error bars say, and as these say along the others.

    Parameters
    ----------
    linear
        The fit at its end.
    residuals
        Images less those of the model, shape (T, rows, columns).
    drawn
        Random errors of the same fit.

    References
    ----------
    H. White, Econometrica 50, 1 (1982), doi:10.2307/1912526 (the sandwich); K.-Y. Liang, S. L. Zeger, Biometrika 73,
    13 (1986), doi:10.1093/biomet/73.1.13 (with clusters).
    """
    told = own_information(linear)[..., :2, :2]
    found = _disagreement(told, scores(linear, lambda tilt: residuals[tilt] * linear.weight[tilt])[..., :2])
    expected = np.stack([_disagreement(told, one[..., :2]) for one in drawn.scores])
    each = expected.sum(axis=1)
    noise = float(each.var(axis=0, ddof=1).mean())
    typical = drawn_to_mean(each.mean(axis=0), noise / len(each))
    raw = _ratio(found.sum(axis=0), typical)
    of_noise = noise * float((raw.mean() / typical.mean()) ** 2)
    return Excess(_ratio(found.sum(axis=1), expected.mean(axis=0).sum(axis=1)), drawn_to_mean(raw, of_noise), raw)


def _disagreement(told: F64, score: F64) -> F64:
    """Return s F^-1 s of each atom in each image, shape (T, N); zero where an image tells nothing of it."""
    determinant = told[..., 0, 0] * told[..., 1, 1] - told[..., 0, 1] ** 2
    square = told[..., 1, 1] * score[..., 0] ** 2 + told[..., 0, 0] * score[..., 1] ** 2
    square -= 2.0 * told[..., 0, 1] * score[..., 0] * score[..., 1]
    seen = determinant > LEAST * (told[..., 0, 0] + told[..., 1, 1]) ** 2
    return np.divide(square, determinant, out=np.zeros_like(square), where=seen)


def _ratio(found: F64, expected: F64) -> F64:
    """Return a ratio, 1 where nothing was expected."""
    return np.divide(found, expected, out=np.ones_like(found), where=expected > 0)


def drawn_to_mean(values: F64, noise: float) -> F64:
    """Return values drawn towards their mean, as far as noise of a given variance spreads them (empirical Bayes)."""
    mean, spread = values.mean(), float(values.var())
    share = max(spread - noise, 0.0) / spread if spread > 0 else 0.0
    return mean + share * (values - mean)


def presence(linear: Linear, residuals: F32, drawn: Drawn, found: Bound) -> tuple[F64, F64]:
    """Return what the images tell of each atom's presence: score and information of a factor on its height, (N,) each.

    The information counts what all other unknowns can do in the atom's stead. Where the heights of atoms are fitted it
    is that of their covariance, less the prior's; else the atom's own, times the share that the drawn fits leave, which
    is the mean over atoms of the squared scores of noise over what they were before the fit.

    Parameters
    ----------
    linear, residuals, drawn
        As for `excess`.
    found
        Covariance of the fit.
    """
    left = scores(linear, lambda tilt: residuals[tilt] * linear.weight[tilt])[..., 2].sum(axis=0)
    if linear.free.heights == "each":
        column = linear.free.of_atom.index("height")
        known = linear.parts(linear.prior_information)[0][:, column]
        return left, np.maximum(1.0 / found.atoms[:, column, column] - known, 0.0)
    told = own_information(linear)[..., 2, 2].sum(axis=0)
    share = (drawn.scores[..., 2].sum(axis=1) ** 2).mean() / told.mean()
    return left, share * told


def exists(gain: F64, uncertain: F64, volume: float, odds: float) -> F64:
    """Return the probability that each site is an atom.

    The evidence with and without it is compared (Laplace): where the place of the atom had been anywhere in a volume V,

        odds afterwards = odds before * exp(gain / 2) * sqrt(det(2 pi C)) / V

    so that a place that is found with small error had to be searched for, and pays for that.

    Parameters
    ----------
    gain
        Deviance without the atom less that with it, shape (N,). From score s and information F of a factor on its
        height, 1 with and 0 without (`presence`), it is F + 2 s.
    uncertain
        Covariance C of its position, angstrom**2, shape (N, 3, 3).
    volume
        Where the atom could have been, angstrom**3: the space of one atom.
    odds
        Of an atom against none there, before the images were seen.

    References
    ----------
    D. J. C. MacKay, Neural Computation 4, 415 (1992), doi:10.1162/neco.1992.4.3.415 (the Occam factor).
    """
    _, determinant = np.linalg.slogdet(2.0 * np.pi * uncertain)
    made: F64 = expit(np.log(odds / volume) + 0.5 * gain + 0.5 * determinant)
    return made


@dataclass(frozen=True)
class ErrorBars:
    """What a fit and its residuals say about its atoms."""

    covariance: F64
    """Of the position after rigid alignment, widened by the excess, angstrom**2, shape (N, 3, 3)."""
    height: F64
    """Standard error of the relative height, widened too, shape (N,); NaN where it is not fitted for each atom."""
    width: F64
    """The same of the width, angstrom."""
    exists: F64
    """Probability that there is an atom, shape (N,)."""
    excess: Excess


def error_bars(
    linear: Linear,
    residuals: F32,
    weight: F64,
    spread: F64,
    exact_too: bool,
    samples: int,
    seed: int,
    volume: float,
    odds: float,
) -> ErrorBars:
    """Return error bars of every atom of a fit, and the probability that it is there.

    Parameters
    ----------
    linear, residuals
        As for `excess`.
    weight, spread
        Profiles, as for `uncertainty.information_of`.
    exact_too
        Whether the covariance comes from the whole Fisher matrix, of which `uncertainty.memory_of` tells the size; else
        from the random errors, which are drawn in any case.
    samples, seed
        As for `uncertainty.draw`, at least 2 samples.
    volume, odds
        As for `exists`.

    Raises
    ------
    UndeterminedError
        If the images do not determine what was fitted.
    """
    drawn = draw(linear, weight, spread, samples, seed)
    found = exact(linear, weight, spread) if exact_too else covariance(drawn)
    beyond = excess(linear, residuals, drawn)
    widened = found.atoms * beyond.atoms[:, None, None]
    score, told = presence(linear, residuals, drawn, found)
    deviations = dict(zip(linear.free.of_atom, np.sqrt(np.einsum("naa->an", widened)), strict=True))
    unknown = np.full(len(widened), np.nan)
    return ErrorBars(
        widened[:, :3, :3],
        deviations.get("height", unknown),
        deviations.get("width", unknown),
        exists(told + 2.0 * score, widened[:, :3, :3], volume, odds),
        beyond,
    )
