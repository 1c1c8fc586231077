"""Classes of numbers: optimal k-means in one dimension, and mixtures of normal distributions. Nothing is random."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

STEPS = 1000
"""Most steps of expectation and maximisation."""
SETTLED = 1e-7
"""Gain in mean log-likelihood below which a mixture is fitted."""
GROUPS = 4096
"""Groups of neighbouring values that are fitted in place of the values themselves, where there are more."""
NARROWEST = 1e-2
"""Least standard deviation of a part, over that of all values: a part cannot shrink onto one of them."""


class Mixture(NamedTuple):
    """Normal distributions by rising mean, each of shape (parts,), and the log-likelihood of the values."""

    mean: F64
    sigma: F64
    share: F64
    log_likelihood: float


def k_means(values: F64, parts: int) -> I64:
    """Return the class of each value in the partition with the least sum of squares around the means of its classes.

    The optimum itself, by dynamic programming over the sorted values, not a local one that depends on a start.

    Parameters
    ----------
    values
        Shape (values,).
    parts
        Number of classes, at most that of the values.

    Returns
    -------
    Classes from 0, by rising mean, shape (values,).

    References
    ----------
    H. Wang, M. Song, The R Journal 3(2), 29 (2011), doi:10.32614/RJ-2011-015;
    A. Grønlund et al., arXiv:1701.07204 (2017), section 2 (divide and conquer).
    """
    order = np.argsort(values, kind="stable")
    middle = values.mean()  # sums of squares lose fewer digits around it
    labels = np.empty(values.size, np.int64)
    labels[order] = _optimal(values[order] - middle, parts)
    return labels


@njit(nogil=True, cache=True)
def _cost(first: F64, second: F64, low: int, high: int) -> float:
    """Return the sum of squares around their mean of sorted values low to high - 1, from cumulative sums."""
    total = first[high] - first[low]
    return max(second[high] - second[low] - total * total / (high - low), 0.0)


@njit(nogil=True, cache=True)
def _optimal(rising: F64, parts: int) -> I64:
    """Return the classes of rising values."""
    count = rising.size
    first, second = np.zeros(count + 1), np.zeros(count + 1)
    for i in range(count):
        first[i + 1] = first[i] + rising[i]
        second[i + 1] = second[i] + rising[i] * rising[i]
    best = np.empty(count + 1)  # of the first n values in one class more at each turn
    best[0] = np.inf
    for n in range(1, count + 1):
        best[n] = _cost(first, second, 0, n)
    begins = np.zeros((parts, count + 1), np.int64)  # where the last class begins
    stack = np.empty((128, 4), np.int64)
    for k in range(1, parts):
        better = np.full(count + 1, np.inf)
        stack[0, 0], stack[0, 1], stack[0, 2], stack[0, 3] = k + 1, count, k, count - 1
        depth = 1
        while depth > 0:
            depth -= 1
            low, high, left, right = stack[depth]
            if low > high:
                continue
            n = (low + high) // 2
            place = left
            for begin in range(left, min(right, n - 1) + 1):
                cost = best[begin] + _cost(first, second, begin, n)
                if cost < better[n]:
                    better[n], place = cost, begin
            begins[k, n] = place
            stack[depth, 0], stack[depth, 1], stack[depth, 2], stack[depth, 3] = low, n - 1, left, place
            depth += 1
            stack[depth, 0], stack[depth, 1], stack[depth, 2], stack[depth, 3] = n + 1, high, place, right
            depth += 1
        best = better
    labels = np.empty(count, np.int64)
    end = count
    for turn in range(parts):
        k = parts - 1 - turn
        labels[begins[k, end] : end] = k
        end = begins[k, end]
    return labels


def described(values: F64, labels: I64, parts: int) -> Mixture:
    """Return the normal distributions that have the means, deviations and shares of given classes.

    Parameters
    ----------
    values
        Shape (values,).
    labels
        Class of each from 0, by rising mean, none empty.
    parts
        Number of classes.
    """
    whole = _Groups(values, np.ones(values.size), np.zeros(values.size), _member(labels, parts))
    return _maximised(whole, whole.member, _floor(values))


def mixture(values: F64, labels: I64, parts: int) -> Mixture:
    """Fit a mixture of normal distributions from given classes on; parameters as those of `described`."""
    return grown(values, _member(labels, parts))


def grown(values: F64, member: F64) -> Mixture:
    """Fit a mixture of normal distributions by expectation and maximisation.

    A part cannot become narrower than a hundredth of the spread of all values.

    Parameters
    ----------
    values
        Shape (values,).
    member
        Probability that each belongs to each part, at the start, shape (values, parts).

    References
    ----------
    A. P. Dempster, N. M. Laird, D. B. Rubin, J. R. Stat. Soc. B 39, 1 (1977), doi:10.1111/j.2517-6161.1977.tb01600.x.
    """
    floor, groups = _floor(values), _grouped(values, member)
    found = _maximised(groups, groups.member, floor)
    for _ in range(STEPS):
        before = found.log_likelihood
        found = _maximised(groups, posterior(groups.value, found), floor)
        if found.log_likelihood - before < SETTLED * values.size:
            break
    order = np.argsort(found.mean, kind="stable")
    return Mixture(found.mean[order], found.sigma[order], found.share[order], found.log_likelihood)


def starts(intensity: F64, parts: int) -> list[I64]:
    """Return classes from which a mixture may grow: by k-means, by k-means of logarithms, and of equal size.

    The least sum of squares likes classes of one size, and rather cuts a large one in two than let a rare one be; the
    other starts do not, and the likelihood tells which was right.

    Parameters
    ----------
    intensity
        Shape (values,); for the logarithms, what is below a thousandth of the highest counts as that.
    parts
        Number of classes.
    """
    floor = 1e-3 * float(np.abs(intensity).max())
    ranks = np.argsort(np.argsort(intensity, kind="stable"), kind="stable")
    logs = np.log(np.maximum(intensity, floor)) if floor > 0 else intensity
    found = [k_means(intensity, parts), k_means(logs, parts), ranks * parts // intensity.size]
    return [labels for labels in found if np.bincount(labels, minlength=parts).min() > 0]


def likeliest(values: F64, begun: list[I64], parts: int) -> Mixture:
    """Return the mixture of the highest likelihood of those that grow from several classes; see `mixture`."""
    return max((mixture(values, labels, parts) for labels in begun), key=lambda one: one.log_likelihood)


def _member(labels: I64, parts: int) -> F64:
    return (labels[:, None] == np.arange(parts)).astype(np.float64)


def _floor(values: F64) -> float:
    return max(NARROWEST * float(values.std()), 1e-12 * float(np.abs(values).max()), 1e-300)


class _Groups(NamedTuple):
    """Means of neighbouring values, how many they are, sums of squares around the mean, and mean memberships."""

    value: F64
    size: F64
    square: F64
    member: F64


def _grouped(values: F64, member: F64) -> _Groups:
    """Sort values into groups of equally many neighbours; each its own group where there are few."""
    order = np.argsort(values, kind="stable")
    begins = np.unique(np.linspace(0, values.size, min(GROUPS, values.size), endpoint=False).astype(np.int64))
    count = np.diff(np.append(begins, values.size)).astype(np.float64)
    value = np.add.reduceat(values[order], begins) / count
    apart = values[order] - np.repeat(value, count.astype(np.int64))
    mean = np.add.reduceat(member[order], begins, axis=0) / count[:, None]
    return _Groups(value, count, np.add.reduceat(apart**2, begins), mean)


def _maximised(groups: _Groups, member: F64, floor: float) -> Mixture:
    weight = np.maximum(groups.size @ member, 1e-9)
    mean = (groups.size * groups.value) @ member / weight
    square = groups.size[:, None] * (groups.value[:, None] - mean) ** 2 + groups.square[:, None]
    sigma = np.sqrt(np.maximum((member * square).sum(axis=0) / weight, floor**2))
    found = Mixture(mean, sigma, weight / weight.sum(), 0.0)
    likelihood = groups.size @ _log_total(_log_densities(groups.value, found))
    return found._replace(log_likelihood=float(likelihood))


def _log_densities(values: F64, of: Mixture) -> F64:
    """Return the logarithm of share times density, shape (values, parts)."""
    apart = (values[:, None] - of.mean) / of.sigma
    found: F64 = np.log(of.share / (np.sqrt(2 * np.pi) * of.sigma)) - 0.5 * apart**2
    return found


def _log_total(logs: F64) -> F64:
    top = logs.max(axis=1)
    found: F64 = top + np.log(np.exp(logs - top[:, None]).sum(axis=1))
    return found


def posterior(values: F64, of: Mixture) -> F64:
    """Return the probability that each value belongs to each part, shape (values, parts)."""
    logs = _log_densities(values, of)
    found: F64 = np.exp(logs - _log_total(logs)[:, None])
    return found


def ordered_posterior(values: F64, of: Mixture) -> F64:
    """Return `posterior` of each value, or of the nearest between the lowest and the highest mean.

    Far out, the widest distribution is the likeliest, wherever its mean; a value below the lowest mean is no
    likelier to be of a brighter part than one at it.
    """
    return posterior(np.clip(values, of.mean[0], of.mean[-1]), of)


def above_lowest(values: F64, of: Mixture) -> F64:
    """Return the probability that each value is not of the lowest part; above the next mean it stays as it is there.

    A wide lowest part, as of noise, would else claim what lies between or beyond narrower ones. Shape (values,).
    """
    found: F64 = 1 - posterior(np.clip(values, of.mean[0], of.mean[1]), of)[:, 0]
    return found


def criterion(of: Mixture, count: int) -> float:
    """Return the Bayesian information criterion of a mixture fitted to `count` values: less is better.

    References
    ----------
    G. Schwarz, Ann. Stat. 6, 461 (1978), doi:10.1214/aos/1176344136.
    """
    return float((3 * of.mean.size - 1) * np.log(count) - 2 * of.log_likelihood)


def distinctness(of: Mixture) -> float:
    """Return how far the lowest part is from the next: |difference of means| over the root mean square deviation.

    Above 2, two equal parts show two peaks.

    References
    ----------
    K. M. Ashman, C. M. Bird, S. E. Zepf, Astron. J. 108, 2348 (1994), doi:10.1086/117248, eq. 5.
    """
    return float((of.mean[1] - of.mean[0]) / np.sqrt((of.sigma[0] ** 2 + of.sigma[1] ** 2) / 2))


def thresholds(of: Mixture) -> F64:
    """Return where neighbouring parts are equally probable, between their means; NaN where one exceeds the other.

    Shape (parts - 1,).
    """
    found = np.full(of.mean.size - 1, np.nan)
    for k in range(found.size):
        low, high = of.mean[k], of.mean[k + 1]
        tight = 1 / (2 * of.sigma[k : k + 2] ** 2)
        offset = np.log(of.share[k : k + 2] / of.sigma[k : k + 2])
        terms = [
            tight[1] - tight[0],
            2 * (tight[0] * low - tight[1] * high),
            tight[1] * high**2 - tight[0] * low**2 + offset[0] - offset[1],
        ]
        if abs(terms[0]) < 1e-12 * tight.max():
            terms = terms[1:]
        roots = np.roots(terms)
        real = roots.real[np.abs(roots.imag) < 1e-9 * max(abs(high), abs(low))]
        inside = real[(low < real) & (real < high)]
        if inside.size == 1:
            found[k] = inside[0]
    return found
