"""structure.long_range_order"""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from numpy.testing import assert_allclose

from aetx.core.atoms import atoms_dataset
from aetx.errors import InputError
from aetx.stages.lattice.fit import fit
from aetx.stages.structure.long_range_order import long_range_order

EDGE = 3.85


def sites(cells: int, centred: str = "fcc") -> np.ndarray:
    """Sites of a cube in halves of the cell."""
    place = np.stack(np.meshgrid(*[np.arange(2 * cells + 1)] * 3, indexing="ij"), -1).reshape(-1, 3)
    return place[place.sum(axis=1) % 2 == 0] if centred == "fcc" else place[np.ptp(place % 2, axis=1) == 0]


def lattice(site: np.ndarray, first: np.ndarray, kind: str = "fcc") -> xr.Dataset:
    atoms = atoms_dataset(site * EDGE / 2, np.where(first, 26, 78)).assign_attrs(aetx_schema="atoms/1")
    return fit(atoms, type=kind)


def test_perfect_l1_0_is_one_along_its_axis_and_nothing_across() -> None:
    site = sites(4)
    made = long_range_order(lattice(site, site[:, 2] % 2 == 0))
    order = np.abs(made["long_range_order"].values[0])
    assert order.max() == pytest.approx(1)
    assert_allclose(np.sort(order)[:2], 0, atol=0.15)  # the faces of the cube have one kind more than the other
    assert 0 < float(made["long_range_order_error"].min()) < 0.05
    known = np.isfinite(made["local_order"].values).all(axis=1)
    assert known.all()
    assert_allclose(np.abs(made["local_order"].values[:, order.argmax()]), 1)


def test_antiphase_domains_cancel_in_the_whole_and_not_around_atoms() -> None:
    site = sites(6)
    far = site[:, 0] > 6
    made = long_range_order(lattice(site, (site[:, 2] + far) % 2 == 0), radius=6.0)
    best = int(np.abs(made["local_order"].values).mean(axis=0).argmax())
    assert abs(float(made["long_range_order"][0, best])) < 0.2
    signed = made["local_order"].values[:, best]
    deep = (site[:, 0] < 4) | (site[:, 0] > 9)
    assert_allclose(np.abs(signed[deep]), 1)
    assert (np.sign(signed[site[:, 0] < 4]) == -np.sign(signed[site[:, 0] > 9][0])).all()


@pytest.mark.parametrize(("structure", "kind"), [("L1_2", "fcc"), ("B2", "bcc")])
def test_other_ordered_structures_are_found(structure: str, kind: str) -> None:
    site = sites(4, kind)
    made = long_range_order(lattice(site, (site % 2 == 0).all(axis=1), kind), structure=structure, element="Fe")
    order = made["long_range_order"].values[0]
    assert np.abs(order).max() == pytest.approx(1)
    assert (np.abs(order) > 0.9).sum() == 1


def test_a_random_alloy_has_none_beyond_its_errors() -> None:
    site = sites(6)
    pulls = []
    for seed in range(12):
        first = np.random.default_rng(seed).random(len(site)) < 0.4
        made = long_range_order(lattice(site, first))
        pulls.append((made["long_range_order"] / made["long_range_order_error"]).values.ravel())
    assert np.std(pulls) == pytest.approx(1, abs=0.3)


def test_another_lattice_is_refused() -> None:
    site = sites(4, "bcc")
    with pytest.raises(InputError, match="fit that lattice"):
        long_range_order(lattice(site, site[:, 0] % 2 == 0, "bcc"), structure="L1_0")
