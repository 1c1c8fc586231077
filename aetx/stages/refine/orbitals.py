"""Atoms as local orbitals, fitted to images with a probe that changes with the depth."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field, model_validator

from aetx.core import Forecast, InputSizes, Length, SmallAngle, optional, stage
from aetx.core.atoms import atoms_dataset, column_of, require_elements
from aetx.core.ledger import continued, entries
from aetx.core.lens import LensParams
from aetx.core.model_images import Problem3D, problem_of, refined
from aetx.errors import EnvironmentFault, InputError, Problem
from aetx.kernels import orbital_start
from aetx.kernels import orbitals as kernel
from aetx.kernels.orbital_errors import covariance, drawn
from aetx.kernels.orbital_fit import fit
from aetx.kernels.orbital_system import Data, misfit
from aetx.kernels.orbital_system import Freedom as Freedoms
from aetx.kernels.refinement import Noise, Scene
from aetx.kernels.rendering import FINEST, REACH, TAIL
from aetx.kernels.scattering import kirkland, wavelength
from aetx.kernels.site_growth import Rules
from aetx.kernels.site_search import search
from aetx.model import ATOMS, TILT_SERIES, units

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
Freedom = Literal["fixed", "shared", "each"]
STAGE = "refine.orbitals"

SLICES_IN_FOCUS = 8
"""Slices along the depth of focus wavelength / semi_angle**2 where no thickness is stated."""
TAILS = 4.0
"""How far a probe in focus reaches, angstrom."""
COLLECTIVE = 3
"""Steps in which atoms and images stand still while heights, widths and backgrounds find their level."""
MISSED = 3e-4
"""Part of the norm of a probe that fewer fields for all depths may leave out."""
LEAST_REST = 1e-2
"""Mean square of what an image leaves over, in medians of all images, below which its weight grows no more."""
INNER = 40
"""Most conjugate gradients for each error that is drawn."""
OF_LENS = ("semi_angle", "defocus", "thickness", *LensParams.model_fields)
"""Parameters that only matter where the probe depends on the depth."""


class OrbitalsParams(LensParams):
    """Parameters of `orbitals`."""

    mode: Literal["direct", "rigid", "adaptive"] = Field(
        "rigid", description="probe: the same at all depths, as the lens makes it at each depth, or refined from that"
    )
    orbital: Literal["gaussian", "slater", "kirkland"] = Field(
        "gaussian",
        description="shape of an atom: a Gaussian, or one that blurs exp(-r / decay) or the scattering factor",
    )
    decay: Length = Field(0.15, gt=0, le=5, description="decay length of a Slater orbital exp(-r / decay)")
    width: Length = Field(0.3, gt=0.02, le=5, description="Gaussian standard deviation that atoms start with")
    heights: Freedom = Field("each", description="signal of the atoms: known, one for each element, or of each atom")
    widths: Freedom = Field("shared", description="width of the atoms: known, one for each element, or of each atom")
    shifts: bool = Field(True, description="the shift of each image is unknown")
    angles: bool = Field(False, description="the three angles of each image are unknown")
    scale: bool = Field(False, description="the intensity scale of each image is unknown")
    background: bool = Field(True, description="the constant background of each image is unknown")
    semi_angle: SmallAngle = Field(25.0, gt=0, le=200, description="semi-angle of the probe-forming aperture")
    defocus: Length = Field(0.0, ge=-1e5, le=1e5, description="-C10, under-focus positive, at the rotation centre")
    thickness: Length | None = Field(
        None, gt=0, le=1000, description="distance of the slices; none for an eighth of the depth of focus"
    )
    probes: Literal["shared", "each"] = Field(
        "shared", description="refined probes: one set for all images, or one for each image"
    )
    stiffness: float = Field(
        1e-3, gt=0, le=1e6, description="how strongly refined probes are held to those of the lens"
    )
    weights: Literal["equal", "residual"] = Field(
        "residual", description="weight of an image: one, or one over the mean square of what its atoms leave over"
    )
    steps: int = Field(10, ge=1, le=1000, description="greatest number of Gauss-Newton steps of each fit")
    inner: int = Field(12, ge=1, le=1000, description="greatest number of conjugate gradients in each step")
    tolerance: Length = Field(5e-4, gt=0, le=1, description="root mean square move of the atoms that ends a fit")
    errors: Literal["drawn", "none"] = Field(
        "drawn", description="standard errors from what the images leave over, its signs drawn anew, or none"
    )
    samples: int = Field(8, ge=2, le=10_000, description="times that the signs are drawn")
    seed: int = Field(0, ge=0, lt=2**63, description="seed of the signs")
    held_out: int = Field(0, ge=0, le=1000, description="every how many images one is not fitted to; 0 for none")
    spacing: Length = Field(1.0, gt=0.3, le=10, description="distance of the orbitals of a bare grid")
    distance: Length = Field(2.5, gt=0.5, le=20, description="least distance of nearest atoms, where a grid is merged")

    @model_validator(mode="after")
    def _without_contradiction(self) -> Self:
        named = self.model_fields_set
        if self.mode == "direct" and (void := sorted(named & set(OF_LENS))):
            raise ValueError(f"{', '.join(void)}: a direct mode has no depth")
        if self.mode != "adaptive" and (void := sorted(named & {"probes", "stiffness"})):
            raise ValueError(f"{', '.join(void)}: only adaptive probes are refined")
        if self.orbital != "slater" and "decay" in named:
            raise ValueError("decay: only a Slater orbital has one")
        if self.errors == "none" and (void := sorted(named & {"samples", "seed"})):
            raise ValueError(f"{', '.join(void)}: no errors are drawn")
        if self.held_out == 1:
            raise ValueError("held_out 1 leaves no image to fit to")
        return self

    @property
    def focus(self) -> float:
        """Depth of focus, angstrom."""
        return wavelength(self.energy) / (self.semi_angle * 1e-3) ** 2


def _forecast(inputs: InputSizes, params: OrbitalsParams) -> Forecast:
    series = inputs["series"][0]
    tilts, rows, columns = (series.get(axis, 1) for axis in ("tilt", "y", "x"))
    atoms = inputs["atoms"][0].get("atom", 1) if inputs.get("atoms") else rows * columns
    across = min(rows, columns)
    memory, seconds = 8 * tilts * rows * columns + 4000 * atoms, tilts * atoms * 3e-6
    if params.mode != "direct":
        pixels, slices = 4 * rows * columns, across // 4 + 2
        memory += pixels * 8 * slices * (4 if params.mode == "adaptive" else 2)
        seconds += tilts * slices * pixels * (5e-8 if params.mode == "adaptive" else 2e-8)
    products = params.steps * params.inner + (params.samples * INNER if params.errors == "drawn" else 0)
    return Forecast({"tilt": tilts, "axis": 3}, int(memory), seconds * products * 1.5 + 1.0)


@stage(
    STAGE,
    takes={"series": TILT_SERIES, "atoms": optional(ATOMS)},
    gives=ATOMS,
    params=OrbitalsParams,
    version=4,
    forecast=_forecast,
)
def orbitals(series: xr.Dataset, atoms: xr.Dataset | None, params: OrbitalsParams, *, memory: int | None) -> xr.Dataset:
    """Atoms as local orbitals under a probe that changes with the depth, fitted to the images (LOT).

    In the frame of the camera, p = transpose(R) r, the specimen is cut into slices along the beam. The image is

        I(x, y) = background + scale * sum over slices k of  p_k * O_k,     O_k = sum over atoms i of w_ik D_i(x, y)

    with the convolution *, orbitals D of integral `intensity` at p_x + shift_x, p_y + shift_y, and their weights w that
    share an atom linearly between the two slices whose middles are next to it, so that depth has a derivative. p_k is
    the intensity of the probe at that depth, of sum one: a point (`direct`), |F**-1[A exp(-i chi - i pi lambda z q**2)]
    |**2 (`rigid`), or that with a correction in each pixel of a window (`adaptive`), which keeps sum and centroid,
    and no pixel below zero. Lowered is the sum of squares of computed minus measured, by damped Gauss-Newton steps:
    first heights, widths and backgrounds with the atoms at rest, then all, then with the weights of the images, and
    last the probes with all.

    What images cannot tell stays as it was: the mean of the shifts, a turn of all angles, the mean of the scales.
    Without atoms, orbitals on a grid take the heights, none negative, that explain the images in the direct mode; they
    are merged where they meet, and sites are then added and removed until nothing changes. Each is in the ledger.

    `r1` is sum |computed - measured| / sum |measured| of each image, also of those `held_out`, for which only what
    belongs to the image was fitted. `loss` is half the mean square after each part of the fit, `probe` are the refined
    probes in their windows, shape (slice, pixel). The result is in memory.

    `sigma` and `covariance` are those of each position by what the images leave over, noise or not, from fits to
    residuals whose signs are drawn for each image; probes stay as they are. They hold for errors that differ from
    image to image, not for one that all share.

    A linear model knows no channelling: images near zone axes leave more over.

    References
    ----------
    L. Mao, J. Cui, R. Yu, Accurate atomic positions via local-orbital tomography (arXiv; equations 1 to 5, 8 to 11);
    E. Bosch, I. Lazic, Ultramicroscopy 207, 112831 (2019), doi:10.1016/j.ultramic.2019.112831 (probe in depth).
    """
    if atoms is None:
        atoms = _from_a_grid(series, params)
    elif void := sorted(params.model_fields_set & {"spacing", "distance"}):
        problem = Problem(STAGE, ", ".join(void), "stated beside atoms", "one of the two", "leave out the other")
        raise InputError(problem)
    return _result(atoms, series, _fitted(atoms, series, params, memory))


def _from_a_grid(series: xr.Dataset, params: OrbitalsParams) -> xr.Dataset:
    """Return atoms of unknown element, and how they were made."""
    nothing = atoms_dataset(np.zeros((1, 3)), 0)
    whole = problem_of(STAGE, nothing, series, "gaussian", params.width, 1e6)
    scene, state = whole.scene, whole.state
    width = params.width if params.mode == "direct" else math.hypot(params.width, _blur(params))
    points = orbital_start.grid(scene, state, params.spacing)
    if not len(points):
        problem = Problem(f"{STAGE}: series", "image", "nothing that all images show", "a specimen", "give atoms")
        raise InputError(problem)
    height = orbital_start.heights(scene, state, points, width)
    place, sums, count = orbital_start.merged(points, height, params.distance)
    number = np.arange(len(place))
    reason = np.array([f"{met} orbitals of the grid meet here" for met in count])
    begun = entries(np.full(len(place), "added"), reason, number, place + whole.centre, sums, 0)
    start = replace(
        state,
        position=place,
        height=np.full(len(place), float(np.median(sums))),
        width=np.full(len(place), width),
        sort=np.zeros(len(place), np.int64),
        number=number,
    )
    left = np.concatenate([(image - np.median(image)).ravel() for image in scene.images])
    noise = Noise(variance=np.full(scene.images.shape, (1e-2 * float(left.std())) ** 2, np.float32))
    found = search(scene, start, noise, Rules(separation=0.6 * params.distance))
    made = atoms_dataset(found.fitted.state.position + whole.centre, 0)
    made = made.assign_coords(atom=("atom", found.fitted.state.number, {"units": "1"}))
    ledger = begun
    for one in found.ledger:
        more = entries(
            np.array([one.action]),
            np.array([one.reason]),
            np.array([one.number]),
            np.array([one.position]) + whole.centre,
            np.array([one.score]),
            one.round,
        )
        known = {"ledger_r_before": one.r_before, "ledger_r_after": one.r_after}
        more = more.assign({name: ("entry", np.array([value]), {"units": "1"}) for name, value in known.items()})
        ledger = continued(ledger, more)
    return continued(made, ledger)


def _blur(params: OrbitalsParams) -> float:
    """Return the width of the Gaussian that is as high as the probe in focus, angstrom."""
    return 0.22 * wavelength(params.energy) / (params.semi_angle * 1e-3)


@dataclass(frozen=True)
class Run:
    """A fit: what is fitted, where it is, and half the mean square after each part of it."""

    problem: Problem3D
    model: kernel.Model
    now: kernel.Unknowns
    data: Data
    params: OrbitalsParams
    loss: dict[str, float]
    covariance: F64 | None = None
    """Of each position, angstrom**2, shape (N, 3, 3)."""

    def on(self, name: str, free: Freedoms, steps: int, **changed: Any) -> Run:
        """Return the run after another part of the fit."""
        data = replace(self.data, **changed)
        model, now, _ = fit(self.model, self.now, data, free, steps, self.params.inner, self.params.tolerance)
        loss = self.loss | {name: 0.5 * float(misfit(model, now, self.data)[0][self.data.used].mean())}
        return replace(self, model=model, now=now, loss=loss)


def _fitted(atoms: xr.Dataset, series: xr.Dataset, params: OrbitalsParams, memory: int | None) -> Run:
    """Fit what the parameters set free, part by part."""
    run = _begun(atoms, series, params, memory)
    count = len(run.data.image)
    tilt = np.zeros(7, bool)
    tilt[[kernel.SHIFT_X, kernel.SHIFT_Y]] = params.shifts
    tilt[kernel.TURN_X : kernel.SCALE] = params.angles
    tilt[[kernel.SCALE, kernel.BACKGROUND]] = params.scale, params.background
    free = Freedoms(
        positions=True,
        heights=params.heights != "fixed",
        widths=params.widths != "fixed",
        tilt=tilt,
        probes=False,
        tied_heights=params.heights == "shared",
        tied_widths=params.widths == "shared",
    )
    flat = tilt.copy()
    flat[: kernel.SCALE] = False
    run = run.on("level", replace(free, positions=False, tied_heights=True, tied_widths=True, tilt=flat), COLLECTIVE)
    run = run.on("atoms", free, params.steps)
    if params.weights == "residual":
        run = replace(run, data=replace(run.data, weight=_weights(run)))
        run = run.on("weights", free, params.steps)
    if params.mode == "adaptive":
        probe = _windows(run, count if params.probes == "each" else 1)
        run = replace(run, now=replace(run.now, probe=probe))
        run = run.on("probes", replace(free, probes=True, stiffness=params.stiffness), params.steps)
    if params.errors == "drawn":
        errors = drawn(run.model, run.now, run.data, free, params.samples, INNER, params.seed)
        run = replace(run, covariance=covariance(errors))
    if not run.data.used.all():
        alone = replace(free, positions=False, heights=False, widths=False)
        run = run.on("held out", alone, params.steps, used=~run.data.used)
    return run


def _weights(run: Run) -> F64:
    """Return one over the mean square of what is left over of each image, of mean one; one for those held out."""
    used = run.data.used
    square = misfit(run.model, run.now, run.data)[0][used]
    weight = np.ones(used.size)
    inverse = 1.0 / np.maximum(square, LEAST_REST * float(np.median(square)) + np.finfo(float).tiny)
    weight[used] = inverse / inverse.mean()
    return weight


def _begun(atoms: xr.Dataset, series: xr.Dataset, params: OrbitalsParams, memory: int | None) -> Run:
    """Return a run before its first step."""
    spread = 0.0
    if params.mode != "direct":
        deep = float(np.linalg.norm(atoms["position"].values, axis=1).max(initial=0.0)) + abs(params.defocus)
        spread = TAILS + params.semi_angle * 1e-3 * deep
    problem = problem_of(STAGE, atoms, series, "gaussian", params.width, spread + REACH * params.width)
    scene, state = problem.scene, problem.state
    model = _model(problem, params, spread)
    count = len(scene.images)
    tilt = np.zeros((count, 7))
    tilt[:, :2], tilt[:, kernel.SCALE], tilt[:, kernel.BACKGROUND] = state.shift, state.scale, state.background
    height = state.height * scene.step**2
    if params.heights == "fixed":
        height = column_of(STAGE, atoms, "intensity", above=0)
    width = state.width
    if params.widths == "fixed" and "width" not in params.model_fields_set and "width" in atoms:
        width = column_of(STAGE, atoms, "width", above=0)
    now = kernel.Unknowns(state.position, height, width, tilt, np.zeros((0, model.slices, 1, 1), np.float32))
    used = np.ones(count, bool)
    if params.held_out:
        used[params.held_out // 2 :: params.held_out] = False
    workers = _workers(model, len(state.position), scene, params, memory)
    data = Data(scene.images, scene.seen, np.ones(count), used, state.sort, workers)
    return Run(problem, model, now, data, params, {})


def _model(problem: Problem3D, params: OrbitalsParams, spread: float) -> kernel.Model:
    """Return how the atoms become images."""
    scene, state = problem.scene, problem.state
    sliced, shaped = params.mode != "direct", params.orbital != "gaussian"
    rows, columns = scene.shape
    finer, margin = 1, 0
    if sliced:
        finer = kernel.finer_pixels(scene.step, params.energy, params.semi_angle)
    elif shaped:
        finer = min(max(1, math.ceil(scene.step / params.width)), FINEST)
    if sliced or shaped:
        margin = math.ceil((spread if sliced else TAIL) * finer / scene.step)
    shape, fine = kernel.fine_shape(rows, columns, finer, margin), scene.step / finer
    form = None
    if params.orbital == "slater":
        form = kernel.forms([kernel.slater(params.decay)] * len(problem.species), shape, fine)
    elif params.orbital == "kirkland":
        require_elements(STAGE, problem.species, "set orbital: gaussian")
        form = kernel.forms([_scattering(int(number)) for number in problem.species], shape, fine)
    nominal, first, thickness = None, 0.0, 1.0
    if sliced:
        thickness = params.thickness or params.focus / SLICES_IN_FOCUS
        depth = (state.position @ state.turned[:, :, 2].T).ravel()
        slices = max(2, math.ceil(float(np.ptp(depth)) / thickness) + 1)
        first = float(depth.min() + depth.max()) / 2 - (slices - 1) / 2 * thickness
        depths = np.asarray(first + thickness * np.arange(slices), np.float64)
        aberrations = params.aberrations(params.defocus)
        nominal = kernel.nominal_probes(shape, fine, params.energy, params.semi_angle, aberrations, depths)
    return kernel.Model(
        rows,
        columns,
        scene.step,
        (float(scene.corner[0]), float(scene.corner[1])),
        finer,
        margin,
        state.turned,
        state.sort,
        form,
        nominal,
        first,
        thickness,
        None if nominal is None else kernel.basis_of(nominal, MISSED),
    )


def _scattering(number: int) -> Callable[[F64], F64]:
    whole = float(kirkland(number, np.zeros(1))[0])

    def factor(q: F64) -> F64:
        return kirkland(number, q) / whole

    return factor


def _windows(run: Run, sets: int) -> F32:
    """Return zeros: corrections of the probes in windows that hold the widest of them."""
    model, params = run.model, run.params
    deep = max(abs(model.first), abs(model.first + (model.slices - 1) * model.thickness)) + abs(params.defocus)
    half = math.ceil((params.semi_angle * 1e-3 * deep + TAILS / 2) * model.per_angstrom)
    edge = 2 * min(half, min(model.shape) // 2 - 1) + 1
    return np.zeros((sets, model.slices, edge, edge), np.float32)


def _workers(model: kernel.Model, atoms: int, scene: Scene, params: OrbitalsParams, memory: int | None) -> int:
    """Return how many images are computed at a time within the memory."""
    if memory is None:
        return scene.workers
    fixed = 2 * scene.images.nbytes + 800 * atoms + 64 * 2**20
    pixels = model.shape[0] * model.shape[1]
    one = pixels * 12 + 400 * atoms
    if params.mode != "direct":
        shared = pixels * 4 * model.slices * (4 if params.mode == "adaptive" else 1)
        fixed, one = fixed + shared, one + (2 * shared if params.mode == "adaptive" else 0)
    many = (memory - fixed) // one
    if many < 1:
        needed = f"about {fixed + one} bytes"
        fix = f"give --memory {-(-(fixed + one) // 10**6)}MB, or larger pixels"
        raise EnvironmentFault(Problem("run", "memory", f"{memory} bytes", needed, fix))
    return int(min(scene.workers, many))


def _result(atoms: xr.Dataset, series: xr.Dataset, run: Run) -> xr.Dataset:
    """Return the fitted atoms, what belongs to the images, and how well both agree."""
    model, now, state = run.model, run.now, run.problem.state
    state = replace(
        state,
        position=now.position,
        height=now.height / run.problem.scene.step**2,
        width=now.width,
        turned=model.turn,
        shift=now.tilt[:, [kernel.SHIFT_X, kernel.SHIFT_Y]],
        scale=now.tilt[:, kernel.SCALE],
        background=now.tilt[:, kernel.BACKGROUND],
    )
    one = {"units": "1"}
    unit = units.canonical(f"({series['image'].attrs['units']})**2")
    held = ~run.data.used
    _, r1 = misfit(model, now, replace(run.data, used=np.ones(held.size, bool)))
    made = (
        refined(series, run.problem, state)
        .drop_dims("component")
        .assign(
            r1=("tilt", r1, one),
            held_out=("tilt", held.astype(np.int8), one),
            loss=("part", np.array(list(run.loss.values())), {"units": unit}),
        )
    )
    made = made.assign_coords(part=("part", np.array(list(run.loss))))
    if run.covariance is not None:
        deviation = np.sqrt(np.einsum("naa->na", run.covariance))
        made = made.assign_coords(axis2=["x", "y", "z"]).assign(
            covariance=(("atom", "axis", "axis2"), run.covariance, {"units": "angstrom**2"}),
            sigma=(("atom", "axis"), deviation, {"units": "angstrom"}),
        )
    if len(now.probe):
        made = made.assign(_probes(model, now))
    ledger = [name for name, values in atoms.data_vars.items() if "entry" in values.dims]
    return made.assign({name: atoms[name].variable for name in ledger})


def _probes(model: kernel.Model, now: kernel.Unknowns) -> dict[str, Any]:
    """Return the refined probes in their windows, the mean over the images where each has its own."""
    changes = now.probe.mean(axis=0)
    edge = changes.shape[-1]
    made = kernel.nominal_windows(model, edge) + changes
    axis = (np.arange(edge) - edge // 2) / model.per_angstrom
    y, x = np.meshgrid(axis, axis, indexing="ij")
    length = {"units": "angstrom"}
    depth = model.first + model.thickness * np.arange(model.slices)
    return {
        "probe": (("slice", "pixel"), made.reshape(model.slices, -1), {"units": "1"}),
        "probe_x": ("pixel", x.ravel(), length),
        "probe_y": ("pixel", y.ravel(), length),
        "depth": ("slice", depth, length),
    }
