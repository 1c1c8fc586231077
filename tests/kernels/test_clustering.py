"""Optimal k-means against brute force, and mixtures against distributions that are known."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import norm

from aetx.kernels import clustering

F64 = NDArray[np.float64]
seeds = st.integers(0, 2**32 - 1)


def squares(parts: list[F64]) -> float:
    return float(sum(((part - part.mean()) ** 2).sum() for part in parts))


@given(seed=seeds, count=st.integers(1, 9), parts=st.integers(1, 4), ties=st.booleans())
def test_no_partition_has_a_smaller_sum_of_squares(seed: int, count: int, parts: int, ties: bool) -> None:
    parts = min(parts, count)
    values = np.random.default_rng(seed).standard_normal(count) ** 3 + 1e3
    if ties:
        values = np.round(values)
    labels = clustering.k_means(values, parts)
    cuts = combinations(range(1, count), parts - 1)
    least = min(squares(np.split(np.sort(values), cut)) for cut in cuts)
    found = squares([values[labels == part] for part in range(parts)])
    assert found == pytest.approx(least, rel=1e-6, abs=1e-9)


@given(seed=seeds)
def test_the_order_of_the_values_is_of_no_matter_and_classes_rise(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values, turned = rng.standard_normal(200), rng.permutation(200)
    labels = clustering.k_means(values, 3)
    np.testing.assert_array_equal(clustering.k_means(values[turned], 3), labels[turned])
    assert (np.diff(labels[np.argsort(values)]) >= 0).all()


def drawn(count: int, sigma: tuple[float, ...], share: tuple[float, ...]) -> tuple[F64, NDArray[np.int64]]:
    rng = np.random.default_rng(0)
    kind = rng.choice(len(share), count, p=share)
    mean = np.array([1.0, 1.5, 2.6])[: len(share)]
    return mean[kind] + np.array(sigma)[kind] * rng.standard_normal(count), kind


def test_a_mixture_comes_back_although_its_parts_overlap() -> None:
    values, _ = drawn(40_000, (0.1, 0.2, 0.25), (0.2, 0.5, 0.3))
    found = clustering.mixture(values, clustering.k_means(values, 3), 3)
    np.testing.assert_allclose(found.mean, [1.0, 1.5, 2.6], atol=0.02)
    np.testing.assert_allclose(found.sigma, [0.1, 0.2, 0.25], atol=0.015)
    np.testing.assert_allclose(found.share, [0.2, 0.5, 0.3], atol=0.02)
    densities = found.share * norm.pdf(values[:, None], found.mean, found.sigma)
    assert found.log_likelihood == pytest.approx(np.log(densities.sum(1)).sum(), rel=1e-4)
    np.testing.assert_allclose(clustering.posterior(values, found), densities / densities.sum(1, keepdims=True))


def test_groups_of_neighbours_give_the_mixture_of_the_values_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    values, _ = drawn(30_000, (0.1, 0.2, 0.25), (0.2, 0.5, 0.3))
    labels = clustering.k_means(values, 3)
    grouped = clustering.mixture(values, labels, 3)
    monkeypatch.setattr(clustering, "GROUPS", 30_000)
    whole = clustering.mixture(values, labels, 3)
    for found, wanted in zip(grouped[:3], whole[:3], strict=True):
        np.testing.assert_allclose(np.asarray(found), np.asarray(wanted), rtol=2e-4)
    assert grouped.log_likelihood == pytest.approx(whole.log_likelihood, rel=2e-4)


def test_posteriors_are_as_often_right_as_they_say() -> None:
    values, kind = drawn(40_000, (0.15, 0.2), (0.4, 0.6))
    found = clustering.mixture(values, clustering.k_means(values, 2), 2)
    probability = clustering.ordered_posterior(values, found)[:, 1]
    for low in (0.1, 0.3, 0.5, 0.7):
        some = (probability >= low) & (probability < low + 0.2)
        assert (kind[some] == 1).mean() == pytest.approx(probability[some].mean(), abs=0.05)


def test_thresholds_are_where_neighbours_are_equally_probable() -> None:
    values, _ = drawn(5_000, (0.1, 0.2, 0.25), (0.2, 0.5, 0.3))
    found = clustering.mixture(values, clustering.k_means(values, 3), 3)
    for k, place in enumerate(clustering.thresholds(found)):
        assert found.mean[k] < place < found.mean[k + 1]
        left, right = (found.share[j] * norm.pdf(place, found.mean[j], found.sigma[j]) for j in (k, k + 1))
        assert left == pytest.approx(right, rel=1e-6)


def test_parts_of_equal_width_and_share_meet_in_the_middle() -> None:
    even = clustering.Mixture(np.array([1.0, 3.0]), np.array([0.5, 0.5]), np.array([0.5, 0.5]), 0.0)
    assert clustering.thresholds(even) == pytest.approx([2.0])
    assert clustering.distinctness(even) == pytest.approx(4.0)
    hidden = even._replace(share=np.array([1e-9, 1.0]), sigma=np.array([0.5, 1.0]))
    assert np.isnan(clustering.thresholds(hidden)).all()


@pytest.mark.parametrize("count", [1, 2])
def test_the_criterion_finds_how_many_parts_there_are(count: int) -> None:
    values, _ = drawn(2_000, (0.1, 0.1)[:count], (1.0,) if count == 1 else (0.1, 0.9))
    scores = []
    for parts in (1, 2, 3):
        found = clustering.mixture(values, clustering.k_means(values, parts), parts)
        scores.append(clustering.criterion(found, values.size))
    assert int(np.argmin(scores)) + 1 == count


def test_far_below_all_parts_the_widest_does_not_win() -> None:
    of = clustering.Mixture(np.array([0.0, 5.0]), np.array([0.2, 1.5]), np.array([0.5, 0.5]), 0.0)
    assert clustering.posterior(np.array([-3.0]), of)[0, 0] < 0.01
    assert clustering.ordered_posterior(np.array([-3.0]), of)[0, 0] > 0.99


def test_equal_values_are_one_part_without_a_warning() -> None:
    found = clustering.mixture(np.full(10, 2.0), np.zeros(10, np.int64), 1)
    assert found.mean[0] == 2.0
    np.testing.assert_array_equal(clustering.posterior(np.full(3, 2.0), found), 1.0)


def test_a_rare_class_beside_a_common_broad_one_is_found_by_likelihood_where_squares_are_misled() -> None:
    rng = np.random.default_rng(0)
    kind = np.repeat([0, 1, 2], [60, 470, 470])
    values = np.array([1.0, 1.36, 2.58])[kind] * (1 + rng.uniform(-0.12, 0.12, 1000))
    assert (clustering.k_means(values, 3) == kind).mean() < 0.6
    found = clustering.likeliest(values, clustering.starts(values, 3), 3)
    assert (clustering.ordered_posterior(values, found).argmax(1) == kind).mean() > 0.97


def test_starts_leave_no_class_empty() -> None:
    values = np.array([0.0, 0.0, 0.0, 5.0])
    for labels in clustering.starts(values, 2):
        assert np.bincount(labels, minlength=2).min() > 0


def test_a_wide_lowest_part_does_not_claim_what_lies_between_the_others() -> None:
    of = clustering.Mixture(np.array([-3.0, 0.0, 1.0]), np.array([2.0, 0.1, 0.1]), np.full(3, 1 / 3), 0.0)
    assert clustering.posterior(np.array([0.5]), of)[0, 0] > 0.9
    assert clustering.above_lowest(np.array([-9.0, -3.0, 0.0, 0.5, 9.0]), of) == pytest.approx(
        [0, 0, 1, 1, 1], abs=0.05
    )
