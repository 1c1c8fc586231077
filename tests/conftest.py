"""One small specimen for all tests: 13 atoms, their images and their volume, made with plain numpy."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import settings

settings.register_profile("fast", derandomize=True, deadline=None, max_examples=20)
settings.register_profile("thorough", deadline=None, max_examples=500)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))

SIZE, STEP, SIGMA = 24, 0.8, 0.9
LENGTH, ANGLE, NONE = {"units": "angstrom"}, {"units": "degree"}, {"units": "1"}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-golden", action="store_true", help="rewrite the golden files instead of comparing")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if "slow" in str(config.getoption("-m")):
        return
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.skip(reason="takes minutes: run with -m slow"))


@pytest.fixture(scope="session")
def real_data() -> Callable[[str], Path]:
    """Return a function from a name to the path of published data; the test skips where they are not."""
    root = Path(os.environ.get("AETX_DATA", Path(__file__).parents[2] / "shared" / "data"))

    def find(name: str) -> Path:
        if not (root / name).exists():
            pytest.skip(f"{root / name} is not there: set AETX_DATA to the folder of the published data")
        return root / name

    return find


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, dict[str, float]], None]:
    """Return a function that compares a few numbers with tests/golden/NAME.json, or writes them."""

    def compare(name: str, numbers: dict[str, float], tolerance: float = 1e-4) -> None:
        path = Path(__file__).parent / "golden" / f"{name}.json"
        if request.config.getoption("--write-golden"):
            rounded = {key: float(f"{value:.7g}") for key, value in numbers.items()}
            path.write_text(json.dumps(rounded, indent=2) + "\n", encoding="utf-8")
        assert numbers == pytest.approx(json.loads(path.read_text(encoding="utf-8")), rel=tolerance)

    return compare


def axis(size: int, step: float = STEP) -> np.ndarray:
    return (np.arange(size) - size // 2) * step


def make_atoms() -> xr.Dataset:
    """A centred atom and its twelve neighbours in fcc, 3.4 angstrom away, turned and with one displaced."""
    corners = np.array([(0, i, j) for i in (-1, 1) for j in (-1, 1)]) / np.sqrt(2)
    shell = np.concatenate([np.roll(corners, k, axis=1) for k in range(3)]) * 3.4
    c, s = np.cos(0.4), np.sin(0.4)
    position = np.concatenate([np.zeros((1, 3)), shell]) @ np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]])
    position[5] += [0.2, -0.1, 0.15]
    return xr.Dataset(
        {
            "position": (("atom", "axis"), position, LENGTH),
            "species": ("atom", np.full(13, 78, np.int32), NONE),
        },
        coords={"atom": ("atom", np.arange(13), NONE), "axis": ["x", "y", "z"]},
        attrs={"aetx_schema": "atoms/1"},
    )


def make_volume(height: float = 100.0) -> xr.Dataset:
    """The density of the atoms: each a Gaussian of `height` counts."""
    grid = axis(SIZE)
    density = np.zeros((SIZE, SIZE, SIZE))
    for x, y, z in make_atoms()["position"].values:
        profile = [np.exp(-((grid - p) ** 2) / (2 * SIGMA**2)) for p in (z, y, x)]
        density += height * np.einsum("i,j,k->ijk", *profile) / (2 * np.pi * SIGMA**2) ** 1.5
    return xr.Dataset(
        {"density": (("z", "y", "x"), (density * STEP**2).astype(np.float32), {"units": "count/angstrom"})},
        coords={name: (name, grid, LENGTH) for name in "zyx"},
        attrs={"aetx_schema": "volume/1"},
    )


def make_series(tilts: int = 9, height: float = 100.0) -> xr.Dataset:
    """Noise-free images of the atoms about y: u = x cos - z sin."""
    theta, grid = np.linspace(-64, 64, tilts), axis(SIZE)
    image = np.zeros((tilts, SIZE, SIZE))
    for i, angle in enumerate(np.deg2rad(theta)):
        for x, y, z in make_atoms()["position"].values:
            u = x * np.cos(angle) - z * np.sin(angle)
            along, across = (np.exp(-((grid - p) ** 2) / (2 * SIGMA**2)) for p in (y, u))
            image[i] += height * STEP**2 * np.outer(along, across) / (2 * np.pi * SIGMA**2)
    none = np.zeros(tilts)
    return xr.Dataset(
        {"image": (("tilt", "y", "x"), image.astype(np.float32), {"units": "count"})},
        coords={
            "tilt": ("tilt", np.arange(tilts), NONE),
            "phi": ("tilt", none, ANGLE),
            "theta": ("tilt", theta, ANGLE),
            "psi": ("tilt", none, ANGLE),
            "y": ("y", grid, LENGTH),
            "x": ("x", grid, LENGTH),
        },
        attrs={"aetx_schema": "tilt_series/1"},
    )


def make_scan(tilts: int = 2) -> xr.Dataset:
    """Discs of 20 mrad at 300 keV that the gradient of the images displaces; each pattern sums to one."""
    images = make_series(tilts)
    small = images["image"].values[:, 4:20:4, 4:20:3] / 100
    shift = np.stack([np.gradient(small, axis=1), np.gradient(small, axis=2)])
    k = (np.arange(16) - 8) * 0.125
    ky, kx = k[:, None], k[None, :]
    away = np.hypot(ky - shift[0][..., None, None], kx - shift[1][..., None, None])
    pattern = 1 / (1 + np.exp((away - 1.016) / 0.05))
    pattern /= pattern.sum((-1, -2), keepdims=True)
    poses = {name: images[name] for name in ("tilt", "phi", "theta", "psi")}
    reciprocal = {"units": "1/angstrom"}
    return xr.Dataset(
        {
            "pattern": (("tilt", "scan_y", "scan_x", "ky", "kx"), pattern.astype(np.float32), NONE),
            "energy": ((), 300.0, {"units": "keV"}),
            "semi_angle": ((), 20.0, {"units": "mrad"}),
        },
        coords={
            **poses,
            "scan_y": ("scan_y", images["y"].values[4:20:4], LENGTH),
            "scan_x": ("scan_x", images["x"].values[4:20:3], LENGTH),
            "ky": ("ky", k, reciprocal),
            "kx": ("kx", k, reciprocal),
        },
        attrs={"aetx_schema": "scan_series/1"},
    )


def make_focal(tilts: int = 2) -> xr.Dataset:
    """Bright-field images of the atoms as weak phase objects, at three defoci, in vacuum of one."""
    images, wavelength = make_series(tilts), 0.0197
    defocus = np.array([-60.0, 0.0, 60.0])
    q = np.fft.fftfreq(SIZE, STEP)
    square = q[:, None] ** 2 + q[None, :] ** 2
    transfer = -2 * np.sin(np.pi * wavelength * defocus[:, None, None] * square)
    spectrum = np.fft.fft2(images["image"].values / 1000)[:, None] * transfer
    image = (1 + np.fft.ifft2(spectrum).real).astype(np.float32)
    return xr.Dataset(
        {
            "image": (("tilt", "focus", "y", "x"), image, NONE),
            "defocus": (("tilt", "focus"), np.tile(defocus, (tilts, 1)), LENGTH),
            "energy": ((), 300.0, {"units": "keV"}),
        },
        coords={name: images[name] for name in ("tilt", "phi", "theta", "psi", "y", "x")},
        attrs={"aetx_schema": "focal_series/1"},
    )


def make_raw(tilts: int = 3, frames: int = 3) -> xr.Dataset:
    """Images of the atoms, three frames each, between which everything moves by 0.6 and -0.4 angstrom along x and y."""
    theta, grid = np.linspace(-60, 60, tilts), axis(SIZE)
    image = np.zeros((tilts, frames, SIZE, SIZE))
    for i, angle in enumerate(np.deg2rad(theta)):
        for k in range(frames):
            for x, y, z in make_atoms()["position"].values:
                u, v = x * np.cos(angle) - z * np.sin(angle) + 0.6 * (k - 1), y - 0.4 * (k - 1)
                along, across = (np.exp(-((grid - p) ** 2) / (2 * SIGMA**2)) for p in (v, u))
                image[i, k] += 100 * STEP**2 * np.outer(along, across) / (2 * np.pi * SIGMA**2)
    none = np.zeros(tilts)
    return xr.Dataset(
        {"image": (("tilt", "frame", "y", "x"), image.astype(np.float32), {"units": "count"})},
        coords={
            "tilt": ("tilt", np.arange(tilts), NONE),
            "phi": ("tilt", none, ANGLE),
            "theta": ("tilt", theta, ANGLE),
            "psi": ("tilt", none, ANGLE),
            "y": ("y", grid, LENGTH),
            "x": ("x", grid, LENGTH),
        },
        attrs={"aetx_schema": "raw_series/1"},
    )


def make_frames() -> xr.Dataset:
    """Five images of the atoms in time, each turned a little further."""
    images = make_series(5)
    return xr.Dataset(
        {"image": (("frame", "y", "x"), images["image"].values, {"units": "count"})},
        coords={name: images[name] for name in "yx"},
        attrs={"aetx_schema": "frames/1"},
    )


def make_edits() -> xr.Dataset:
    """Two edits of the atoms: the displaced one goes back, and there is one more."""
    unknown = np.full((2, 2, 3), np.nan)
    position, target = unknown.copy(), unknown.copy()
    target[0, 0] = make_atoms()["position"].values[5] - [0.2, -0.1, 0.15]
    position[1, 0] = [0.0, 6.0, 0.0]
    words = {"action": ["move", "add"], "reason": ["displaced", "bright"], "author": ["A. N.", "A. N."]}
    return xr.Dataset(
        {
            **{name: ("entry", np.array(texts)) for name, texts in words.items()},
            "element": ("entry", np.array([-1, -1], np.int32), NONE),
            "atom": (("entry", "place"), np.array([[5, -1], [-1, -1]]), NONE),
            "position": (("entry", "place", "axis"), position, LENGTH),
            "target": (("entry", "place", "axis"), target, LENGTH),
        },
        coords={"entry": ("entry", np.array([2, 3]), NONE), "axis": ["x", "y", "z"]},
        attrs={"aetx_schema": "edits/1"},
    )


def make_score() -> xr.Dataset:
    return xr.Dataset({"r1": ((), 0.1, NONE)}, attrs={"aetx_schema": "score/1"})


def make_facets(site: np.ndarray, basis: np.ndarray) -> dict[str, tuple[Any, ...]]:
    """Triangles and squares of a cuboctahedron, as surface.facets tells them, with activities for 1 % of strain."""
    signs = np.array(list(itertools.product((-1, 1), repeat=3)))
    miller = np.concatenate([signs, np.eye(3, dtype=int), -np.eye(3, dtype=int)])
    height = 2 * site @ miller.T
    on = height > height.max(axis=0) - 0.5
    normal = miller @ np.linalg.inv(basis).T
    return {
        "facet": ("atom", np.where(on.any(1), on.argmax(1), -1).astype(np.int32), NONE),
        "on_facet": (("atom", "facet_id"), on.astype(np.int8), NONE),
        "facet_normal": (("facet_id", "axis"), normal / np.linalg.norm(normal, axis=1, keepdims=True), NONE),
        "facet_family": ("facet_id", np.array(["111"] * 8 + ["100"] * 6)),
        "facet_atoms": ("facet_id", on.sum(0).astype(np.int32), NONE),
        "local_strain": ("atom", np.full(13, 0.01), NONE),
        "local_strain_error": ("atom", np.full(13, 0.002), NONE),
        "activity": ("atom", np.where(on.any(1), -1.4, np.nan), NONE),
        "activity_error": ("atom", np.where(on.any(1), 0.3, np.nan), NONE),
        "activity_model_error": ("atom", np.full(13, np.nan), NONE),
    }


def make_strain(position: np.ndarray) -> dict[str, tuple[tuple[str, ...], np.ndarray, dict[str, str]]]:
    """Strains that grow along x, as strain.atoms tells them, and a core of one atom."""
    size, own = 0.01 * position[:, 0], ("atom", "axis", "axis2")
    return {
        "strain": (own, size[:, None, None] * np.diag([1.0, -0.4, -0.3]), NONE),
        "strain_error": (own, np.full((13, 3, 3), 0.002), NONE),
        "radial": (("atom",), size, NONE),
        "hoop": (("atom",), -size, NONE),
        "interface_depth": (("atom",), np.where(np.arange(13) == 0, -1.0, 1.0), LENGTH),
        "surface": (("atom",), (np.arange(13) > 0).astype(np.int8), NONE),
    }


def make_lattice() -> xr.Dataset:
    """The atoms on the sites of one fcc grain, the central one at site 0, with standard errors of 2 pm, and facets."""
    atoms = make_atoms()
    c, s = np.cos(0.4), np.sin(0.4)
    basis = 3.4 * np.sqrt(2) * np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]])
    site = np.round(2 * atoms["position"].values @ np.linalg.inv(basis)) / 2
    away = atoms["position"].values - site @ basis
    covariance = np.tile(4e-4 * np.eye(3), (13, 1, 1))
    return (
        atoms.assign(
            site=(("atom", "vector"), site, NONE),
            grain=("atom", np.zeros(13, np.int32), NONE),
            displacement=(("atom", "axis"), away, LENGTH),
            covariance=(("atom", "axis", "axis2"), covariance, {"units": "angstrom**2"}),
            basis=(("grain_id", "vector", "axis"), basis[None], LENGTH),
            origin=(("grain_id", "axis"), np.zeros((1, 3)), LENGTH),
        )
        .assign(make_facets(site, basis))
        .assign(make_strain(atoms["position"].values))
        .assign_coords(axis2=["x", "y", "z"])
        .assign_attrs(aetx_schema="lattice/1", lattice="fcc")
    )


@pytest.fixture
def small_atoms() -> xr.Dataset:
    return make_atoms()


@pytest.fixture
def small_volume() -> xr.Dataset:
    return make_volume()


@pytest.fixture
def small_series() -> xr.Dataset:
    return make_series()


@pytest.fixture
def specimen() -> Callable[[str], xr.Dataset]:
    """Return a function from the name of a kind to a small dataset of it; all show the same specimen."""
    makers = {
        "atoms": make_atoms,
        "volume": make_volume,
        "tilt_series": make_series,
        "scan_series": make_scan,
        "focal_series": make_focal,
        "raw_series": make_raw,
        "frames": make_frames,
        "edits": make_edits,
        "lattice": make_lattice,
        "score": make_score,
    }

    def make(kind: str) -> xr.Dataset:
        if kind not in makers:
            pytest.fail(f"tests/conftest.py makes no small {kind}: add one")
        return makers[kind]()

    return make
