"""Atoms, poses and intensities fitted to images at once, by Gauss-Newton steps with conjugate gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from aetx.kernels.drawing import HOST, Drawing
from aetx.kernels.rotation import nearest_rotation

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
T = TypeVar("T")

RIDGE = 1e-9
"""What is added to the information of an atom's unknowns, relative to the largest, so that it can be inverted."""
SHOWN = 0.5
"""Least part of the images that must show an atom on pixels that are trusted, for it to move or change."""
NEARBY = 1.0
"""How far from its middle an atom shows, angstrom."""
COARSEST = 0.8
"""Least standard deviation of an atom in pixels that are put together: sums of products of two slopes keep 4 %."""
SLOW = 0.3
"""What is left to gain after a rough step, over what was before it, from which steps are exact."""
KEPT = 1_500_000
"""Most atoms times images whose lines are kept while equations are solved: 200 to 800 bytes each."""
HALVINGS = 4
"""Most times that a step is halved because it made the fit worse."""


@dataclass(frozen=True)
class Free:
    """What is fitted beside the positions. Heights and widths are `fixed`, `shared` by a sort, or of `each` atom."""

    angles: bool = True
    shifts: bool = True
    scale: bool = True
    background: bool = True
    distortion: bool = False
    heights: str = "shared"
    widths: str = "shared"
    positions: bool = True

    @property
    def of_atom(self) -> tuple[str, ...]:
        """Unknowns of an atom, in order."""
        more = [name for name, free in (("height", self.heights), ("width", self.widths)) if free == "each"]
        return (*("xyz" if self.positions else ""), *more)

    @property
    def of_sort(self) -> tuple[str, ...]:
        """Unknowns that all atoms of a sort share."""
        return tuple(name for name, free in (("height", self.heights), ("width", self.widths)) if free == "shared")

    @property
    def of_tilt(self) -> tuple[str, ...]:
        """Unknowns of an image: turns about the axes of the camera, shifts, relative scale, background, stretches."""
        return (
            *(("turn_x", "turn_y", "turn_z") if self.angles else ()),
            *(("shift_x", "shift_y") if self.shifts else ()),
            *(("scale",) if self.scale else ()),
            *(("background",) if self.background else ()),
            *(("stretch_xx", "stretch_yy", "stretch_xy") if self.distortion else ()),
        )


@dataclass(frozen=True)
class Prior:
    """Standard deviations of what is known beforehand; infinite where nothing is.

    Heights and widths are relative to the mean of their sort, turns in radian, shifts in angstrom.
    """

    height: float = np.inf
    width: float = np.inf
    turn: float = np.inf
    shift: float = np.inf
    stretch: float = np.inf


@dataclass(frozen=True)
class Noise:
    """Variance of a pixel: gain * (mean + offset); or `variance` of each, which then wins."""

    gain: float = 1.0
    offset: float = 0.02
    variance: F32 | None = None
    least: float = 0.0
    """Mean of the darkest pixels: below zero where too much background was taken off; then the offset gives it back."""

    def of_tilts(self, tilts: NDArray[np.integer]) -> Noise:
        """Return the noise of some of the images."""
        return self if self.variance is None else replace(self, variance=self.variance[tilts])

    def weight(self, tilt: int, model: F32, seen: F32 | None) -> F32:
        """Return one over the variance of each pixel of an image, zero where it is not trusted."""
        if self.variance is not None:
            made = np.divide(
                np.float32(1), self.variance[tilt], out=np.zeros_like(model), where=self.variance[tilt] > 0
            )
        else:
            made = np.float32(1 / self.gain) / (np.maximum(model, np.float32(self.least)) + np.float32(self.offset))
        return made if seen is None else made * seen

    def deviances(self, tilt: int, image: F32, model: F32, seen: F32 | None) -> F64:
        """Return twice the log-likelihood ratio of each pixel: shifted Poisson counts, or Gaussian by given variances.

        Reading noise of variance r**2 is taken as a Poisson background: offset = r**2 / gain.
        """
        if self.variance is not None:
            return self.weight(tilt, model, seen).astype(np.float64) * (image.astype(np.float64) - model) ** 2
        mean = np.maximum(model.astype(np.float64), self.least) + self.offset
        count = np.maximum(image.astype(np.float64) + self.offset, 0)
        each = mean - count + count * np.log(np.maximum(count, np.finfo(np.float64).tiny) / mean)
        return 2.0 / self.gain * (each if seen is None else each * seen)

    def deviance(self, tilt: int, image: F32, model: F32, seen: F32 | None) -> float:
        """Return the sum of `deviances`."""
        return float(self.deviances(tilt, image, model, seen).sum())


@dataclass(frozen=True)
class State:
    """Atoms and poses, as far as they are fitted. Lengths in angstrom; N atoms, T images."""

    position: F64
    """Shape (N, 3), from the rotation centre."""
    height: F64
    """Integral of each atom over an image, in units of the image times pixels, shape (N,)."""
    width: F64
    """Gaussian standard deviation of each atom, angstrom, shape (N,)."""
    sort: I64
    """Which profile each atom has, shape (N,)."""
    number: I64
    """Id of each atom, shape (N,)."""
    turned: F64
    """R of each image, shape (T, 3, 3)."""
    shift: F64
    """Where the rotation centre shows, x and y, shape (T, 2)."""
    scale: F64
    """Factor on all heights, shape (T,)."""
    background: F64
    """In units of the image, shape (T,)."""
    stretch: F64
    """Symmetric distortion of each image, xx, yy, xy, shape (T, 3)."""

    def distortion(self, tilt: int) -> F64:
        """Return what an image does to a place in its plane, symmetric, shape (2, 2)."""
        xx, yy, xy = self.stretch[tilt]
        return np.array([[1.0 + xx, xy], [xy, 1.0 + yy]])

    def of_tilts(self, chosen: Any) -> State:
        """Return the same atoms in some of the images."""
        names = ("turned", "shift", "scale", "background", "stretch")
        return replace(self, **{name: getattr(self, name)[chosen] for name in names})

    def of_atoms(self, chosen: Any) -> State:
        """Return some of the atoms in the same images."""
        names = ("position", "height", "width", "sort", "number")
        return replace(self, **{name: getattr(self, name)[chosen] for name in names})


@dataclass(frozen=True)
class Scene:
    """Images that atoms are fitted to."""

    images: F32
    """Shape (T, rows, columns)."""
    step: float
    """Edge of a pixel, angstrom."""
    corner: F64
    """x and y of the pixel of index 0, angstrom."""
    transfer: Sequence[F32 | None]
    """Of each sort, what its Gaussians are multiplied by in Fourier space, (padded rows, half of padded columns)."""
    padding: int
    """Pixels around an image, if there is any transfer."""
    padded: tuple[int, int]
    effective: F64
    """Spread of each sort that its profile adds to the Gaussian, angstrom; only to precondition."""
    seen: F32 | None = None
    """1 where a pixel is trusted, 0 elsewhere, shape (T, rows, columns)."""
    workers: int = 1
    drawing: Drawing = HOST
    """Where images are drawn."""
    under: F32 | None = None
    """What lies beneath the atoms and stays as it is, shape (T, rows, columns)."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of an image."""
        return self.images.shape[1], self.images.shape[2]

    def of_tilts(self, chosen: Any) -> Scene:
        """Return some of the images."""
        seen, under = (None if one is None else one[chosen] for one in (self.seen, self.under))
        return replace(self, images=self.images[chosen], seen=seen, under=under)

    def trusted(self, tilt: int) -> F32 | None:
        """Return what is trusted of an image."""
        return None if self.seen is None else self.seen[tilt]

    def over(self, many: Sequence[int], work: Callable[[int], T]) -> list[T]:
        """Return what a function makes of every number, in order, several at a time."""
        if self.workers < 2:
            return [work(one) for one in many]
        with ThreadPoolExecutor(self.workers) as pool:
            return list(pool.map(work, many))

    def each(self, work: Callable[[int], T]) -> list[T]:
        """Return what a function makes of every tilt, in order, several at a time."""
        return self.over(range(len(self.images)), work)

    def camera(self, state: State, tilt: int) -> F64:
        """Return where the atoms are in the frame of the camera before its shift and distortion, (N, 3), angstrom."""
        return np.ascontiguousarray(state.position @ state.turned[tilt])

    def place(self, state: State, tilt: int) -> tuple[F64, F64]:
        """Return where the atoms show, x and y in pixels from the centre of pixel 0, both (N,)."""
        seen = self.camera(state, tilt)[:, :2] @ state.distortion(tilt) + state.shift[tilt] - self.corner
        return np.ascontiguousarray(seen[:, 0]) / self.step, np.ascontiguousarray(seen[:, 1]) / self.step

    @cached_property
    def nearby(self) -> F32 | None:
        """Part of the pixels around each one that are trusted, shape (T, rows, columns)."""
        edge = 2 * round(NEARBY / self.step) + 1
        return None if self.seen is None else np.asarray(uniform_filter(self.seen, (0, edge, edge), mode="nearest"))

    def shown(self, state: State, part: float = SHOWN) -> NDArray[np.bool_]:
        """Tell which atoms a part of the images show, on trusted pixels, by default enough to be fitted, shape (N,)."""
        total, (rows, columns) = np.zeros(len(state.position)), self.shape
        for tilt in range(len(self.images)):
            across, down = (np.rint(one).astype(np.int64) for one in self.place(state, tilt))
            inside = (across >= 0) & (across < columns) & (down >= 0) & (down < rows)
            total[inside] += 1.0 if self.nearby is None else self.nearby[tilt][down[inside], across[inside]]
        return total >= part * len(self.images)

    def canvas(self, sort: int) -> tuple[int, tuple[int, int]]:
        """Return how far the image of a sort lies inside what is drawn before its profile is put on, and the size."""
        return (0, self.shape) if self.transfer[sort] is None else (self.padding, self.padded)

    def blurred(self, sort: int, drawn: F32) -> F32:
        """Return an image from its canvas, with the profile of a sort."""
        transfer, (rows, columns) = self.transfer[sort], self.shape
        if transfer is None:
            return drawn
        made = self.drawing.filtered(drawn, transfer)
        return made[self.padding : self.padding + rows, self.padding : self.padding + columns]

    def unblurred(self, sort: int, image: F32) -> F32:
        """Return the transpose of `blurred` on an image."""
        transfer, (rows, columns) = self.transfer[sort], self.shape
        if transfer is None:
            return image
        wide = np.zeros(self.padded, np.float32)
        wide[self.padding : self.padding + rows, self.padding : self.padding + columns] = image
        return self.drawing.filtered(wide, transfer)

    def model(self, state: State, tilt: int) -> F32:
        """Return the image of the atoms, shape (rows, columns)."""
        x, y = self.place(state, tilt)
        made = np.full(self.shape, state.background[tilt], np.float32)
        if self.under is not None:
            made += self.under[tilt]
        for sort, members in enumerate(members_of(state.sort, len(self.transfer))):
            if not members.size:
                continue
            height, width = state.height[members] * state.scale[tilt], state.width[members] / self.step
            margin, shape = self.canvas(sort)
            drawn = self.drawing.render(x[members] + margin, y[members] + margin, height, width, *shape)
            made += self.blurred(sort, drawn)
        return made

    def models(self, state: State) -> F32:
        """Return the images of the atoms, shape (T, rows, columns)."""
        return np.stack(self.each(lambda tilt: self.model(state, tilt)))


def members_of(sort: I64, sorts: int) -> list[I64]:
    """Return the atoms of each sort."""
    return [np.flatnonzero(sort == one) for one in range(sorts)]


@dataclass(frozen=True)
class Linear:
    """The images as a linear function of small changes of all unknowns around a state, with the weights of the pixels.

    A vector of unknowns holds those of the atoms (N, of_atom), then of the sorts, then of the tilts (T, of_tilt).
    Heights change relative to what they are, widths in angstrom, turns in radian, shifts in angstrom, the scale
    relative to what it is, the background in units of the image.
    """

    scene: Scene
    state: State
    free: Free
    weight: F32
    prior: Prior = field(default_factory=Prior)
    lent: tuple[F64, F64, F64] | None = None
    """Inverse blocks of an earlier linear map of the same unknowns, good enough to precondition this one."""
    rough: bool = False
    """Whether `apply` takes Gaussians of the same peak for the profiles, on pixels put together: many times quicker,
    good enough for the steps of a fit whose score is exact."""
    kept: dict[tuple[int, int], Any] = field(default_factory=dict, compare=False)
    """Lines of the atoms by tilt and sort, -1 for rough ones of all."""

    @cached_property
    def shapes(self) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
        """Of the three parts of a vector."""
        return (
            (len(self.state.position), len(self.free.of_atom)),
            (len(self.scene.transfer), len(self.free.of_sort)),
            (len(self.state.turned), len(self.free.of_tilt)),
        )

    @property
    def size(self) -> int:
        """Unknowns in all."""
        return sum(a * b for a, b in self.shapes)

    def parts(self, vector: F64) -> tuple[F64, F64, F64]:
        """Return views of a vector: atoms, sorts, tilts."""
        made, start = [], 0
        for shape in self.shapes:
            made.append(vector[start : start + shape[0] * shape[1]].reshape(shape))
            start += shape[0] * shape[1]
        return made[0], made[1], made[2]

    @cached_property
    def places(self) -> list[tuple[F64, F64, F64]]:
        """x, y in pixels and the frame of the camera in angstrom, for every tilt."""
        return [
            (*self.scene.place(self.state, tilt), self.scene.camera(self.state, tilt))
            for tilt in range(len(self.state.turned))
        ]

    @cached_property
    def members(self) -> list[I64]:
        """Atoms of each sort."""
        return members_of(self.state.sort, len(self.scene.transfer))

    def axes(self, tilt: int) -> F64:
        """Return how an image shows moves along x, y and z of the specimen, shape (3, 2)."""
        return self.state.turned[tilt][:, :2] @ self.state.distortion(tilt)

    @cached_property
    def levers(self) -> list[dict[str, F64]]:
        """How each geometric unknown of a tilt moves atoms: x and y, by their x, y, z in the frame of the camera and 1.

        Shape (4, 2) each, angstrom for each unit.
        """
        return [_levers(self.state.distortion(tilt)) for tilt in range(len(self.places))]

    @cached_property
    def together(self) -> int:
        """How many pixels along each axis are put together where it may be rough."""
        usual = np.median(np.hypot(self.state.width, self.scene.effective[self.state.sort]))
        return max(1, int(min(usual / self.scene.step / COARSEST, *self.scene.shape)))

    @cached_property
    def rough_weight(self) -> F32:
        """Sum of the weights of the pixels that are put together, shape (T, rough rows, rough columns)."""
        return summed(self.weight, self.together)

    def image(self, tilt: int, moved: F64, relative: F64, wider: F64, lifted: float) -> F32:
        """Return the change of an image by moves of its atoms (N, 2), relative heights, widths, and its background."""
        step, state, drawing = self.scene.step, self.state, self.scene.drawing
        made = np.full(self.scene.shape, lifted, np.float32)
        for sort, members in enumerate(self.members):
            if not members.size:
                continue
            height = state.height[members] * state.scale[tilt]
            by = (moved[members, 0] / step, moved[members, 1] / step, height * relative[members], wider[members] / step)
            _, shape = self.scene.canvas(sort)
            made += self.scene.blurred(sort, drawing.change(self._lines(tilt, sort), height, *by, *shape))
        return made

    def gathered(self, tilt: int, image: F32) -> F64:
        """Return the transpose of `image` but for the background, (N, 4): by x, y, relative height, width."""
        step, state = self.scene.step, self.state
        made = np.zeros((len(state.position), 4))
        for sort, members in enumerate(self.members):
            if not members.size:
                continue
            height = state.height[members] * state.scale[tilt]
            back = np.ascontiguousarray(self.scene.unblurred(sort, image))
            found = self.scene.drawing.collect(back, self._lines(tilt, sort), height)
            found[:, 2] *= height
            found[:, [0, 1, 3]] /= step
            made[members] = found
        return made

    def _lines(self, tilt: int, sort: int) -> Any:
        """Return the lines of the atoms of a sort."""

        def made() -> Any:
            x, y, _ = self.places[tilt]
            members, (margin, shape) = self.members[sort], self.scene.canvas(sort)
            width = self.state.width[members] / self.scene.step
            return self.scene.drawing.lines(x[members] + margin, y[members] + margin, width, *shape)

        return self._remembered((tilt, sort), made)

    def _rough_lines(self, tilt: int) -> Any:
        """Return the lines of all atoms on pixels put together."""
        x, y, _, wide = self._rough_places[tilt]
        shape = self.rough_weight.shape[1:]
        return self._remembered((tilt, -1), lambda: self.scene.drawing.lines(x, y, wide, *shape, True))

    def _remembered(self, key: tuple[int, int], make: Callable[[], Any]) -> Any:
        """Return lines that were made before, if they are needed often and all are few enough to keep."""
        if len(self.state.position) * len(self.places) > KEPT or (self.rough and key[1] >= 0):
            return make()
        if key not in self.kept:
            self.kept[key] = make()
        return self.kept[key]

    @cached_property
    def _rough_places(self) -> list[tuple[F64, F64, F64, F64]]:
        """x, y, height and width of all atoms on pixels put together, for every tilt."""
        by, state = self.together, self.state
        middle, step = 0.5 * (by - 1), self.scene.step * by
        wide = np.hypot(state.width, self.scene.effective[state.sort]) / step
        return [
            ((x - middle) / by, (y - middle) / by, state.height * state.scale[tilt] / by**2, wide)
            for tilt, (x, y, _) in enumerate(self.places)
        ]

    def rough_image(self, tilt: int, moved: F64, relative: F64, wider: F64, lifted: float) -> F32:
        """Return what `image` does, on pixels put together, with Gaussians of the same peak for the profiles."""
        _, _, height, wide = self._rough_places[tilt]
        step = self.scene.step * self.together
        widened = wider * self.state.width / (wide * step**2)
        by = (moved[:, 0] / step, moved[:, 1] / step, height * relative, widened)
        made = self.scene.drawing.change(self._rough_lines(tilt), height, *by, *self.rough_weight.shape[1:])
        return made + np.float32(lifted)

    def rough_gathered(self, tilt: int, image: F32) -> F64:
        """Return the transpose of `rough_image` but for the background, (N, 4)."""
        _, _, height, wide = self._rough_places[tilt]
        step = self.scene.step * self.together
        made = self.scene.drawing.collect(image, self._rough_lines(tilt), height)
        made[:, :2] /= step
        made[:, 2] *= height
        made[:, 3] *= self.state.width / (wide * step**2)
        return made

    def moves(self, tilt: int, atoms: F64, sorts: F64, own_: F64) -> tuple[F64, F64, F64, float]:
        """Return what unknowns do to the atoms as one image sees them; for `image`."""
        free, count = self.free, len(self.state.position)
        moved, relative, wider = np.zeros((count, 2)), np.zeros(count), np.zeros(count)
        for column, name in enumerate(free.of_atom):
            if name == "height":
                relative += atoms[:, column]
            elif name == "width":
                wider += atoms[:, column]
        if free.positions:
            moved += atoms[:, :3] @ self.axes(tilt)
        for column, name in enumerate(free.of_sort):
            changed = relative if name == "height" else wider
            changed += sorts[self.state.sort, column]
        lifted, levers, lever = 0.0, self.levers[tilt], np.zeros((4, 2))
        for column, name in enumerate(free.of_tilt):
            value = own_[column]
            if name == "scale":
                relative += value
            elif name == "background":
                lifted = value
            else:
                lever += value * levers[name]
        moved += self.places[tilt][2] @ lever[:3] + lever[3]
        return moved, relative, wider, lifted

    def told(self, tilt: int, each: F64, image: F32) -> tuple[F64, F64, F64]:
        """Return the transpose of `moves`, from what `gathered` found: for atoms, sorts and this tilt."""
        free, (_, sorts, _) = self.free, self.shapes
        atoms, shared, own_ = np.zeros(self.shapes[0]), np.zeros(sorts), np.zeros(len(free.of_tilt))
        if free.positions:
            atoms[:, :3] = each[:, :2] @ self.axes(tilt).T
        for column, name in enumerate(free.of_atom):
            if name in ("height", "width"):
                atoms[:, column] = each[:, 2 if name == "height" else 3]
        for column, name in enumerate(free.of_sort):
            values = each[:, 2 if name == "height" else 3]
            shared[:, column] = np.bincount(self.state.sort, values, sorts[0])
        levers = self.levers[tilt]
        pulled = np.concatenate([self.places[tilt][2].T @ each[:, :2], each[:, :2].sum(axis=0)[None]])
        for column, name in enumerate(free.of_tilt):
            if name == "scale":
                own_[column] = each[:, 2].sum()
            elif name == "background":
                own_[column] = image.sum(dtype=np.float64)
            else:
                own_[column] = (pulled * levers[name]).sum()
        return atoms, shared, own_

    def back(self, made: Callable[[int], F32], gather: Callable[[int, F32], F64] | None = None) -> F64:
        """Return the transpose of the whole map on images, one of each tilt; `gather` is that of the atoms."""
        gather = gather or self.gathered

        def work(tilt: int) -> tuple[F64, F64, F64]:
            image = made(tilt)
            return self.told(tilt, gather(tilt, image), image)

        vector = np.zeros(self.size)
        atoms, sorts, tilts = self.parts(vector)
        for tilt, (a, s, t) in enumerate(self.scene.each(work)):
            atoms += a
            sorts += s
            tilts[tilt] = t
        return vector

    def apply(self, vector: F64) -> F64:
        """Return the Fisher information, with the priors, times a vector."""
        atoms, sorts, tilts = self.parts(vector)

        weight = self.rough_weight if self.rough else self.weight
        draw, gather = (self.rough_image, self.rough_gathered) if self.rough else (self.image, self.gathered)

        def made(tilt: int) -> F32:
            return draw(tilt, *self.moves(tilt, atoms, sorts, tilts[tilt])) * weight[tilt]

        return self.back(made, gather) + self.prior_information * vector

    @cached_property
    def prior_information(self) -> F64:
        """One over the square of the priors' standard deviations, for every unknown."""
        vector = np.zeros(self.size)
        atoms, _, tilts = self.parts(vector)
        for column, name in enumerate(self.free.of_atom):
            if name == "height":
                atoms[:, column] = self.prior.height**-2
            elif name == "width":
                atoms[:, column] = (self.prior.width * self.state.width) ** -2
        for column, name in enumerate(self.free.of_tilt):
            known = {"turn": self.prior.turn, "shift": self.prior.shift, "stretch": self.prior.stretch}
            tilts[:, column] = known.get(name.partition("_")[0], np.inf) ** -2
        return vector

    @cached_property
    def blocks(self) -> tuple[F64, F64, F64]:
        """Inverse information of each atom, of the sorts, and of each tilt, on their own.

        Zero for atoms that too few images show: conjugate gradients leave them as they are.
        """
        free, step = self.free, self.scene.step * self.together
        names = free.of_atom
        prior = self.parts(self.prior_information)

        def work(tilt: int) -> tuple[F64, F64, F64]:
            _, _, height, wide = self._rough_places[tilt]
            each = self.scene.drawing.own(self.rough_weight[tilt], self._rough_lines(tilt), height)
            # x, y in angstrom; the height relative; the width in angstrom, of the Gaussian without its profile
            factor = np.empty((len(height), 4))
            factor[:, :2], factor[:, 2], factor[:, 3] = 1 / step, height, self.state.width / (wide * step**2)
            each *= factor[:, :, None] * factor[:, None, :]
            chain = np.zeros((4, len(names)))
            if free.positions:
                chain[:2, :3] = self.axes(tilt).T
            for column, name in enumerate(names):
                if name in ("height", "width"):
                    chain[2 if name == "height" else 3, column] = 1.0
            of_atoms = np.einsum("ka,nkl,lb->nab", chain, each, chain, optimize=True)
            return of_atoms, *self._grams(tilt)

        found = self.scene.each(work)
        shown = self.scene.shown(self.state)
        return (
            _inverse(sum_of([atoms for atoms, _, _ in found]), prior[0]) * shown[:, None, None],
            _inverse(sum_of([sorts for _, sorts, _ in found])[None], prior[1].reshape(1, -1))[0],
            _inverse(np.array([tilts for _, _, tilts in found]), prior[2]),
        )

    def _grams(self, tilt: int) -> tuple[F64, F64]:
        """Return the information about the sorts' and a tilt's unknowns, from their derivative images."""
        _, (sorts, shared), (_, many) = self.shapes
        none = np.zeros(self.shapes[0])
        units = [(unit.reshape(sorts, shared), np.zeros(many)) for unit in np.eye(sorts * shared)]
        units += [(np.zeros((sorts, shared)), unit) for unit in np.eye(many)]
        pictures = [self.rough_image(tilt, *self.moves(tilt, none, *unit)) for unit in units]
        if not pictures:
            return np.zeros((0, 0)), np.zeros((0, 0))
        flat = np.stack(pictures).reshape(len(pictures), -1).astype(np.float64)
        gram = (flat * self.rough_weight[tilt].ravel()) @ flat.T
        return gram[: sorts * shared, : sorts * shared], gram[sorts * shared :, sorts * shared :]

    def precondition(self, vector: F64) -> F64:
        """Return a vector times the inverse blocks, its own or those that were lent."""
        made = np.empty_like(vector)
        (atoms, sorts, tilts), (a, s, t) = self.parts(vector), self.parts(made)
        inverse = self.lent or self.blocks
        a[:] = np.einsum("nab,nb->na", inverse[0], atoms)
        s[:] = (inverse[1] @ sorts.ravel()).reshape(sorts.shape)
        t[:] = np.einsum("tab,tb->ta", inverse[2], tilts)
        return made

    def stepped(self, vector: F64, part: float = 1.0) -> State:
        """Return the state moved along a vector."""
        atoms, sorts, tilts = (part * one for one in self.parts(vector))
        state, free = self.state, self.free
        position = state.position + (atoms[:, :3] if free.positions else 0.0)
        relative, wider = np.zeros(len(position)), np.zeros(len(position))
        for column, name in enumerate(free.of_atom):
            if name in ("height", "width"):
                changed = relative if name == "height" else wider
                changed += atoms[:, column]
        for column, name in enumerate(free.of_sort):
            changed = relative if name == "height" else wider
            changed += sorts[state.sort, column]
        made: dict[str, F64] = {}
        for column, name in enumerate(free.of_tilt):
            made[name] = tilts[:, column]
        zero = np.zeros(len(state.turned))
        turn = np.stack([made.get(f"turn_{axis}", zero) for axis in "xyz"], axis=1)
        return replace(
            state,
            position=position,
            height=state.height * np.exp(np.clip(relative, -1, 1)),
            width=state.width * np.exp(np.clip(wider / state.width, -0.3, 0.3)),
            turned=state.turned @ turns(-turn),
            shift=state.shift + np.stack([made.get("shift_x", zero), made.get("shift_y", zero)], axis=1),
            scale=state.scale * np.exp(np.clip(made.get("scale", zero), -1, 1)),
            background=state.background + made.get("background", zero),
            stretch=state.stretch + np.stack([made.get(f"stretch_{name}", zero) for name in ("xx", "yy", "xy")], 1),
        )


def _levers(bent: F64) -> dict[str, F64]:
    """Return how turns, a shift and stretches move the places of an image whose distortion is known, (4, 2) each."""
    x, y, z, one = np.eye(4)[:, :, None]
    to_x, to_y, across, down = bent[0], bent[1], np.array([1.0, 0.0]), np.array([0.0, 1.0])
    return {
        "turn_x": -z * to_y,
        "turn_y": z * to_x,
        "turn_z": x * to_y - y * to_x,
        "shift_x": one * across,
        "shift_y": one * down,
        "stretch_xx": x * across,
        "stretch_yy": y * down,
        "stretch_xy": y * across + x * down,
    }


def summed(images: F32, by: int) -> F32:
    """Return images, (T, rows, columns), with squares of pixels added up; beyond their edges is zero."""
    tilts, rows, columns = images.shape
    tall, wide = -(-rows // by), -(-columns // by)
    made = np.zeros((tilts, tall * by, wide * by), np.float32)
    made[:, :rows, :columns] = images
    return made.reshape(tilts, tall, by, wide, by).sum(axis=(2, 4))


def sum_of(parts: Sequence[F64]) -> F64:
    """Return the sum of arrays of one shape, added in their order."""
    made = parts[0].copy()
    for one in parts[1:]:
        made += one
    return made


def turns(vector: F64) -> F64:
    """Return the rotations about vectors by their lengths, radian: (images, 3) to (images, 3, 3)."""
    angle = np.linalg.norm(vector, axis=1)[:, None, None]
    x, y, z = vector.T
    zero = np.zeros_like(x)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=1).reshape(-1, 3, 3)
    return np.eye(3) + np.sinc(angle / np.pi) * cross + 0.5 * np.sinc(0.5 * angle / np.pi) ** 2 * cross @ cross


def _inverse(blocks: F64, prior: F64) -> F64:
    """Return inverses of information matrices, (many, size, size), with the priors on their diagonals.

    An unknown that nothing tells about stays as it is: its rows are zero.
    """
    size = blocks.shape[-1]
    if not size:
        return blocks
    made = blocks + prior[:, :, None] * np.eye(size)
    diagonal = np.einsum("naa->na", made)
    root = np.sqrt(np.where(diagonal > 0, diagonal, np.inf))
    scale = 1.0 / (root[:, :, None] * root[:, None, :])
    return np.linalg.inv(made * scale + RIDGE * np.eye(size)) * scale


def conjugate_gradients(linear: Linear, right: F64, steps: int, tolerance: float) -> tuple[F64, int]:
    """Solve information * x = right, preconditioned by blocks, from zero; stop at a relative residual."""
    made, residual = np.zeros_like(right), right.copy()
    turned = linear.precondition(residual)
    direction, now = turned.copy(), float(residual @ turned)
    start = now
    for taken in range(steps):
        if now <= tolerance**2 * start or now <= 0:
            return made, taken
        seen = linear.apply(direction)
        curvature = float(direction @ seen)
        if curvature <= 0:
            return made, taken
        length = now / curvature
        made += length * direction
        residual -= length * seen
        turned = linear.precondition(residual)
        before, now = now, float(residual @ turned)
        direction = turned + now / before * direction
    return made, steps


@dataclass(frozen=True)
class Plan:
    """How far a fit is driven."""

    rounds: int = 12
    """Most Gauss-Newton steps."""
    inner: int = 20
    """Most steps of conjugate gradients in each."""
    tolerance: float = 0.02
    """What may be left to gain, for each unknown, as a part of what noise costs: ends the fit."""
    limit: float = 0.3
    """Farthest that an atom moves in a step, angstrom; half as far each time that its step turns back."""


@dataclass(frozen=True)
class Fitted:
    """What a fit ended with."""

    state: State
    models: F32
    deviance: float
    left: float
    """What was left to gain for each unknown when the fit ended, as a part of what noise costs."""
    rounds: int


def fit(
    scene: Scene,
    state: State,
    free: Free,
    noise: Noise,
    plan: Plan | None = None,
    prior: Prior | None = None,
    start: State | None = None,
) -> Fitted:
    """Fit atoms and poses to images by Fisher scoring: each step solves information * change = score.

    The weights are one over the variance of the model's own images, so that the fit ends at the greatest likelihood
    for counts. A step that lowers it is halved.

    Parameters
    ----------
    scene, state
        Images, and where the fit begins.
    free
        What is fitted.
    noise
        Variance of the pixels.
    plan
        When the fit ends.
    prior
        What is known beforehand of `free`: about the poses of `start`, and about the mean of the sort.
    start
        State whose poses the prior is about; that where the fit begins if it is left out.
    """
    plan, prior = plan or Plan(), prior or Prior()
    begin = start or state
    models = scene.models(state)
    here = deviance(scene, noise, models) + _penalty(state, begin, free, prior)
    left, taken, lent, rough = np.inf, 0, None, True
    last, reach = np.zeros_like(state.position), np.full(len(state.position), plan.limit)
    for _ in range(plan.rounds):
        weight = np.stack([noise.weight(i, one, scene.trusted(i)) for i, one in enumerate(models)])
        linear = Linear(scene, state, free, weight, prior, lent, rough)
        current = models
        right = linear.back(lambda tilt: weight[tilt] * (scene.images[tilt] - current[tilt]))  # noqa: B023
        right -= linear.prior_information * _deviation(linear, begin)
        lent = lent or linear.blocks
        step, _ = conjugate_gradients(linear, right, plan.inner, 0.1)
        before, left = left, float(right @ step) / max(linear.size, 1)
        atoms, _, _ = linear.parts(step)
        if free.positions:
            reach = np.where(np.einsum("na,na->n", atoms[:, :3], last) < 0, 0.5 * reach, reach)
            length = np.linalg.norm(atoms[:, :3], axis=1)
            atoms[:, :3] *= np.minimum(1.0, reach / np.maximum(length, 1e-12))[:, None]
            last = atoms[:, :3].copy()
        part, moved = 1.0, False
        for _ in range(HALVINGS):
            trial = linear.stepped(step, part)
            drawn = scene.models(trial)
            there = deviance(scene, noise, drawn) + _penalty(trial, begin, free, prior)
            if there < here:
                moved = True
                break
            part *= 0.5
        if not moved and not rough:
            break
        rough = rough and moved and left < SLOW * before
        if moved:
            state, models, here, taken = trial, drawn, there, taken + 1
        if left < plan.tolerance:
            break
    return Fitted(state, models, here, left, taken)


def deviance(scene: Scene, noise: Noise, models: F32) -> float:
    """Return the deviance of all images from what models say."""
    each = scene.each(lambda tilt: noise.deviance(tilt, scene.images[tilt], models[tilt], scene.trusted(tilt)))
    return float(sum(each))


def _deviation(linear: Linear, begin: State) -> F64:
    """Return how far the unknowns that a prior is about are from where it expects them."""
    vector = np.zeros(linear.size)
    atoms, _, tilts = linear.parts(vector)
    state = linear.state
    for column, name in enumerate(linear.free.of_atom):
        if name == "height":
            atoms[:, column] = np.log(state.height / median_of_sort(state.height, state.sort))
        elif name == "width":
            atoms[:, column] = state.width - median_of_sort(state.width, state.sort)
    turn = turned_by(begin.turned, state.turned)
    for column, name in enumerate(linear.free.of_tilt):
        kind, _, axis = name.partition("_")
        if kind == "turn":
            tilts[:, column] = turn[:, "xyz".index(axis)]
        elif kind == "shift":
            tilts[:, column] = (state.shift - begin.shift)[:, "xy".index(axis)]
        elif kind == "stretch":
            tilts[:, column] = state.stretch[:, ("xx", "yy", "xy").index(axis)]
    return vector


def _penalty(state: State, begin: State, free: Free, prior: Prior) -> float:
    total = 0.0
    if free.heights == "each":
        total += float((np.log(state.height / median_of_sort(state.height, state.sort)) ** 2).sum() / prior.height**2)
    if free.widths == "each":
        relative = state.width / median_of_sort(state.width, state.sort) - 1.0
        total += float((relative**2).sum() / prior.width**2)
    if free.angles:
        total += float((turned_by(begin.turned, state.turned) ** 2).sum() / prior.turn**2)
    if free.shifts:
        total += float(((state.shift - begin.shift) ** 2).sum() / prior.shift**2)
    if free.distortion:
        total += float((state.stretch**2).sum() / prior.stretch**2)
    return total


def median_of_sort(values: F64, sort: I64) -> F64:
    """Return the median of each atom's sort, shape (N,)."""
    return medians(values, sort, int(sort.max(initial=-1)) + 1)[sort]


def medians(values: F64, sort: I64, sorts: int) -> F64:
    """Return the median of each sort, shape (sorts,); NaN for one without atoms."""
    return np.array([np.median(values[members]) if members.size else np.nan for members in members_of(sort, sorts)])


def turned_by(before: F64, after: F64) -> F64:
    """Return the rotation vectors, in the frame of the camera, by which images turned: after = before * exp(-[w])."""
    relative = np.einsum("tba,tbc->tac", after, before)
    angle = np.arccos(np.clip(0.5 * (np.trace(relative, axis1=1, axis2=2) - 1.0), -1.0, 1.0))
    skew = np.stack([relative[:, 2, 1], relative[:, 0, 2], relative[:, 1, 0]], axis=1)
    skew -= np.stack([relative[:, 1, 2], relative[:, 2, 0], relative[:, 0, 1]], axis=1)
    return skew / (2.0 * np.sinc(angle / np.pi)[:, None])


def without_gauge(state: State, begin: State) -> State:
    """Return the same images from a state whose poses are, on average, those of another, and whose mean scale is 1.

    A turn of all atoms together with all images changes nothing, and neither does a translation of the atoms together
    with the shifts of the images.
    """
    turn = nearest_rotation(np.einsum("tab,tcb->ac", begin.turned, state.turned))
    position, turned = state.position @ turn.T, turn @ state.turned
    rows = turned.transpose(0, 2, 1)[:, :2].reshape(-1, 3)
    moved = np.linalg.lstsq(rows, (state.shift - begin.shift).ravel(), rcond=1e-6)[0]
    scale = float(np.exp(np.log(state.scale).mean()))
    return replace(
        state,
        position=position + moved,
        turned=turned,
        shift=state.shift - (rows @ moved).reshape(-1, 2),
        height=state.height * scale,
        scale=state.scale / scale,
    )
