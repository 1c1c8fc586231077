"""The Cramer-Rao bound of atoms in images: Fisher matrix with its nuisances, its gauge, and its inverse."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import blas, lapack
from threadpoolctl import threadpool_limits

from aetx.kernels.fisher import HEIGHT, I64, WIDTH, Scene, X, Y, own_blocks, weigh
from aetx.kernels.pair_information import add_own_products, add_pairs

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

SMALLEST = 1e-10
"""Part of an unknown's information that must be left when all others are unknown too; with less it is undetermined."""
TOLERANCE, STEPS = 1e-3, 2000
"""Norm of the residual, relative to the start, at which conjugate gradients stop, and the most steps they may take."""
BATCH = 16
"""Vectors that travel through the images together."""
BLOCK = 2048
"""Atoms whose windows are held at once where no pairs are needed."""


class UndeterminedError(ValueError):
    """The images do not determine what is free."""


@dataclass(frozen=True)
class Free:
    """What is unknown beside the positions.

    Heights and widths are `fixed`, or one value that is `shared` by a sort, or one for `each` atom.
    """

    angles: bool
    shifts: bool
    scale: bool
    heights: str
    widths: str
    background: bool = False
    distortion: bool = False

    @property
    def kinds(self) -> I64:
        """Derivatives by the unknowns of an atom."""
        more = [HEIGHT] * (self.heights == "each") + [WIDTH] * (self.widths == "each")
        return np.array([X, Y, *more], np.int64)

    @property
    def unknowns(self) -> int:
        """Unknowns of one atom: x, y, z, then relative height and width."""
        return self.kinds.size + 1

    @property
    def of_image(self) -> tuple[str, ...]:
        """Unknowns of one image, in order: turns about the axes of the camera, shifts, relative scale and so on."""
        return (
            *(("turn_x", "turn_y", "turn_z") if self.angles else ()),
            *(("shift_x", "shift_y") if self.shifts else ()),
            *(("scale",) if self.scale else ()),
            *(("background",) if self.background else ()),
            *(("stretch_xx", "stretch_yy", "stretch_xy") if self.distortion else ()),
        )

    @property
    def per_image(self) -> int:
        """Number of unknowns of one image."""
        return len(self.of_image)


@dataclass(frozen=True)
class Information:
    """Fisher information of T images of N atoms, F = sum over pixels of (d I/d a) (d I/d b) weight."""

    scene: Scene
    position: F64
    """Shape (N, 3), angstrom, from the rotation centre."""
    turned: F64
    """R of each image, shape (T, 3, 3)."""
    step: float
    """Edge of a pixel, angstrom."""
    weight: F64 | F32
    """One over the variance of each pixel, zero where it tells nothing, shape (T, rows, columns)."""
    free: Free
    known: F64 | None = None
    """Information that was there before about the unknowns of the atoms, (N, unknowns): one over the variance."""
    known_images: F64 | None = None
    """The same about the unknowns of the images, (T, unknowns); of a turn or shift of all together it tells nothing."""

    def of_atoms(self, chosen: I64) -> Information:
        """Return the same about some of the atoms, or in another order."""
        scene = replace(
            self.scene,
            place=self.scene.place.take(chosen, axis=1),
            height=self.scene.height.take(chosen, axis=1),
            width=self.scene.width[chosen],
            sort=self.scene.sort[chosen],
        )
        known = None if self.known is None else self.known[chosen]
        return replace(self, scene=scene, position=self.position[chosen], known=known)

    def chain(self, image: int) -> F64:
        """Return the derivatives of the kinds of `Free` by the unknowns of an atom: (kinds, unknowns)."""
        made = np.zeros((self.free.kinds.size, self.free.unknowns))
        made[:2, :3] = self.turned[image, :, :2].T / self.step
        for row, kind in enumerate(self.free.kinds[2:], 2):
            made[row, row + 1] = 1.0 if kind == HEIGHT else 1.0 / self.step
        return made

    @property
    def size(self) -> int:
        """Number of unknowns of the atoms."""
        return len(self.position) * self.free.unknowns

    @property
    def shared(self) -> int:
        """Number of unknowns that all images share."""
        return len(self.scene.weight) * ((self.free.heights == "shared") + (self.free.widths == "shared"))

    def apply(self, vectors: F64) -> F64:
        """Return F times vectors of the atoms' unknowns, shape (unknowns of all atoms, vectors)."""
        kinds, count = self.free.kinds, len(self.position)
        given, made = vectors.reshape(count, self.free.unknowns, -1), np.zeros_like(vectors)
        for image, weight in enumerate(self.weight):
            chain = self.chain(image)
            change = self.scene.forward(image, kinds, np.einsum("kd,nds->nks", chain, given))
            change *= weight[:, :, None]
            back = self.scene.adjoint(image, kinds, change)
            made += np.einsum("kd,nks->nds", chain, back).reshape(made.shape)
        return made if self.known is None else made + self.known.reshape(-1, 1) * vectors

    def perturbed(self, generators: list[np.random.Generator], count: int) -> tuple[F64, F64]:
        """Draw what noise adds to the score of the atoms (size, count) and of the nuisances (G, count).

        Their covariance is the Fisher matrix of both. Each image has its own stream of random numbers, and what is
        known before has the last one.
        """
        kinds = self.free.kinds
        atoms, others = np.zeros((self.size, count)), np.zeros((self.coupling.shape[1], count))
        for image, (weight, generator) in enumerate(zip(self.weight, generators[:-1], strict=True)):
            noise = generator.standard_normal((*weight.shape, count)) * np.sqrt(weight)[:, :, None]
            back = self.scene.adjoint(image, kinds, noise)
            atoms += np.einsum("kd,nks->nds", self.chain(image), back).reshape(atoms.shape)
            columns = self._columns(image)
            if columns.size:
                others[columns] += np.tensordot(self._nuisances(image), noise, ((0, 1), (0, 1)))
        if self.known is not None:
            atoms += np.sqrt(self.known).reshape(-1, 1) * generators[-1].standard_normal((self.size, count))
        values, vectors = np.linalg.eigh(self._known_gram())
        others += vectors @ (np.sqrt(np.maximum(values, 0.0))[:, None] * generators[-1].standard_normal(others.shape))
        return atoms, others

    def own(self) -> F64:
        """Return the information of each atom on its own: (N, unknowns, unknowns)."""
        count, size = len(self.position), self.free.unknowns
        made = np.zeros((count, size, size))
        for image, weight in enumerate(self.weight):
            chain = self.chain(image)
            for first in range(0, count, BLOCK):
                part = slice(first, min(count, first + BLOCK))
                derivative, corner = self.scene.derivatives(image, self.free.kinds, part)
                block = own_blocks(derivative, weigh(derivative, corner, weight))
                made[part] += np.einsum("kc,nkl,ld->ncd", chain, block, chain)
        return made if self.known is None else made + self.known[:, :, None] * np.eye(size)

    def dense(self) -> F64:
        """Return F of the atoms' unknowns, lower triangle of blocks, shape (size, size)."""
        made = np.zeros((self.size, self.size))
        scene, chains = self.scene, np.stack([self.chain(image) for image in range(len(self.weight))])
        told = np.ascontiguousarray(self.weight, np.float64)
        # many small products: threads of the linear algebra would spend their time waiting for each other
        with threadpool_limits(1, "blas"):
            add_pairs(
                scene.place,
                scene.height,
                scene.width,
                scene.sort,
                scene.weight,
                scene.spread,
                scene.half,
                self.free.kinds,
                chains,
                told,
                made,
            )
        if self.known is not None:
            made.flat[:: self.size + 1] += self.known.ravel()
        return made

    @cached_property
    def _both(self) -> tuple[F64, F64]:
        count = len(self.weight) * self.free.per_image + self.shared
        coupling, gram = np.zeros((self.size, count)), np.zeros((count, count))
        for image, weight in enumerate(self.weight):
            columns = self._columns(image)
            if not columns.size:
                continue
            derivative = self._nuisances(image)
            weighed = derivative * weight[:, :, None]
            gram[np.ix_(columns, columns)] += np.tensordot(derivative, weighed, ((0, 1), (0, 1)))
            back = self.scene.adjoint(image, self.free.kinds, weighed)
            coupling[:, columns] += np.einsum("kd,nkg->ndg", self.chain(image), back).reshape(self.size, -1)
        return coupling, gram + self._known_gram()

    def _known_gram(self) -> F64:
        """Return what was known before of the nuisances, without what it tells of a turn or shift of all: (G, G)."""
        images, own = len(self.weight), self.free.per_image
        made, common = np.zeros((images * own + self.shared,) * 2), np.zeros((images, own, 6))
        if self.known_images is None:
            return made
        if self.free.angles:
            common[:, :3, :3] = self.turned.transpose(0, 2, 1)
        if self.free.shifts:
            first = self.free.of_image.index("shift_x")
            common[:, first : first + 2, 3:] = self.turned.transpose(0, 2, 1)[:, :2]
        known, motions = self.known_images.ravel(), common.reshape(-1, 6)
        told = known[:, None] * motions
        made[: known.size, : known.size] = np.diag(known) - told @ np.linalg.pinv(motions.T @ told) @ told.T
        return made

    @property
    def coupling(self) -> F64:
        """F between the atoms' unknowns and the G nuisances: those of each image, then the shared ones; (size, G)."""
        return self._both[0]

    @property
    def gram(self) -> F64:
        """F of the nuisances, shape (G, G)."""
        return self._both[1]

    def _columns(self, image: int) -> I64:
        own, images = self.free.per_image, len(self.weight)
        return np.concatenate([np.arange(own) + image * own, np.arange(self.shared) + images * own])

    def _nuisances(self, image: int) -> F64:
        """Return the derivatives of one image by its nuisances and the shared ones: (rows, columns, nuisances)."""
        free, seen = self.free, self.position @ self.turned[image]
        count, sorts = len(seen), len(self.scene.weight)
        kinds = np.array([X, Y, HEIGHT, WIDTH], np.int64)
        columns: list[F64] = []

        def add(**by_kind: F64 | float) -> None:
            column = np.zeros((count, 4))
            for name, value in by_kind.items():
                column[:, ("x", "y", "height", "width").index(name)] = value
            columns.append(column)

        if free.angles:
            add(y=-seen[:, 2] / self.step)
            add(x=seen[:, 2] / self.step)
            add(x=-seen[:, 1] / self.step, y=seen[:, 0] / self.step)
        if free.shifts:
            add(x=1.0 / self.step)
            add(y=1.0 / self.step)
        if free.scale:
            add(height=1.0)
        if free.background:
            add()
        if free.distortion:
            add(x=seen[:, 0] / self.step)
            add(y=seen[:, 1] / self.step)
            add(x=seen[:, 1] / self.step, y=seen[:, 0] / self.step)
        if free.heights == "shared":
            for sort in range(sorts):
                add(height=np.where(self.scene.sort == sort, 1.0, 0.0))
        if free.widths == "shared":
            for sort in range(sorts):
                add(width=np.where(self.scene.sort == sort, 1.0 / self.step, 0.0))
        change = np.stack(columns, axis=2)
        used = change.any(axis=(0, 2))
        made = self.scene.forward(image, kinds[used], change[:, used])
        if free.background:
            made[:, :, free.of_image.index("background")] = 1.0
        return made

    def gauge(self) -> F64:
        """Return an orthonormal basis of what the images cannot tell about the atoms: (size, motions).

        With free angles a turn of the specimen, with free shifts its translation, and with a free scale of each image
        and a free height of each atom, of which nothing was known, the height of all.
        """
        count, unknowns = len(self.position), self.free.unknowns
        motions = []
        if self.free.angles:
            motions += [np.cross(np.eye(3)[axis], self.position) for axis in range(3)]
        if self.free.shifts:
            motions += [np.tile(np.eye(3)[axis], (count, 1)) for axis in range(3)]
        columns = [np.pad(motion, ((0, 0), (0, unknowns - 3))).ravel() for motion in motions]
        if self.free.scale and self.free.heights == "each" and (self.known is None or not self.known[:, 3].any()):
            columns.append(np.tile(np.eye(unknowns)[3], count))
        if not columns:
            return np.zeros((self.size, 0))
        basis, values, _ = np.linalg.svd(np.stack(columns, axis=1), full_matrices=False)
        return np.ascontiguousarray(basis[:, values > 1e-9 * max(values[0], 1e-300)])


@dataclass(frozen=True)
class Bound:
    """The least covariance of unbiased estimates, after the alignment that the gauge stands for."""

    atoms: F64
    """Of x, y, z in angstrom, relative height and width in angstrom of each atom: (N, unknowns, unknowns)."""
    images: F64
    """Of the unknowns of each image: turns about x, y, z of the camera in radian, shifts along x and y in angstrom,
    relative scale, background, stretches xx, yy, xy, as far as they are free; shape (T, unknowns, unknowns), NaN where
    the images do not tell one."""
    shared: F64
    """Variances of the relative height, and the width in angstrom, that each sort shares: (free of the two, S)."""
    error: F64
    """Standard error of the variance along each axis of each atom, shape (N, 3); zero where it was computed exactly."""
    total_error: float
    """Relative standard error of the variance of all atoms together; zero where it was computed exactly."""


def exact(information: Information) -> Bound:
    """Return the bound by factorizing the whole Fisher matrix.

    The nuisances are eliminated, S = F_aa - F_ag pinv(F_gg) F_ga; then S + k N transpose(N) with the orthonormal gauge
    N is inverted by Cholesky, and N transpose(N) / k is taken off, which leaves the pseudo-inverse of S.

    Raises
    ------
    UndeterminedError
        If the images do not determine every atom.
    """
    order = np.argsort(information.scene.place[:, :, 1].mean(axis=0), kind="stable")
    information = information.of_atoms(order)
    inverse_root, unseen = _inverse_root(information.gram, _known_null(information))
    inverse = inverse_root @ inverse_root.T
    gauge, coupling = information.gauge(), information.coupling
    square = information.dense().T  # Fortran order, upper triangle
    before = square.diagonal().copy()
    stiffness = float(before.mean())
    if not before.min() > 0:
        raise UndeterminedError(f"{int((before <= 0).sum())} unknowns have no effect on any image")
    if coupling.shape[1]:
        root = coupling @ inverse_root
        square = blas.dsyrk(-1.0, root, beta=1.0, c=square, overwrite_c=1, lower=0)
    if gauge.shape[1]:
        square = blas.dsyrk(stiffness, gauge, beta=1.0, c=square, overwrite_c=1, lower=0)
    if gauge.shape[1] >= information.size:
        raise UndeterminedError("nothing but the place of the whole is unknown")
    square, failed = lapack.dpotrf(square, lower=0, clean=0, overwrite_a=1)
    if failed or (square.diagonal() ** 2 < SMALLEST * before).any():
        raise UndeterminedError("what is free cannot be told from the images")
    towards = np.zeros_like(coupling)
    if coupling.shape[1]:
        towards = lapack.dpotrs(square, coupling, lower=0)[0] - gauge @ (gauge.T @ coupling) / stiffness
    nuisances = inverse + inverse @ (coupling.T @ towards) @ inverse
    square = lapack.dtrtri(square, lower=0, overwrite_c=1)[0]
    count, unknowns = len(information.position), information.free.unknowns
    atoms = np.zeros((count, unknowns, unknowns))
    add_own_products(square.T, atoms)
    own = gauge.reshape(count, unknowns, -1)
    atoms -= np.einsum("ncm,ndm->ncd", own, own) / stiffness
    return Bound(atoms[np.argsort(order)], *_parted(information, nuisances, unseen), np.zeros((count, 3)), 0.0)


def stochastic(information: Information, samples: int, seed: int) -> Bound:
    """Return the bound from random errors that have it as their covariance.

    Noise of the pixels, carried to the unknowns, has the covariance F; so x with F x = noise has that of the bound. The
    systems are solved by conjugate gradients with the information of each atom as the preconditioner, and F is only
    applied, image by image. For each atom the covariance is that of x given all others, which is known exactly, plus
    that of what x owes to the others (Rao and Blackwell; `settled`), so that it settles faster than a mean of squares.

    Parameters
    ----------
    information
        Of the images.
    samples
        Number of random errors, at least 2.
    seed
        Of the random numbers; each image has its own stream.

    Raises
    ------
    UndeterminedError
        If some atom is not seen, or the gradients do not converge.

    References
    ----------
    G. Papandreou, A. Yuille, NIPS 23 (2010): perturbation sampling;
    P. Siden, F. Lindgren, D. Bolin, M. Villani (2017), https://arxiv.org/abs/1705.08656: the conditional mean.
    """
    count, unknowns = len(information.position), information.free.unknowns
    inverse_root, unseen = _inverse_root(information.gram, _known_null(information))
    inverse = inverse_root @ inverse_root.T
    gauge, coupling, own = information.gauge(), information.coupling, information.own()
    if not (np.diagonal(own, axis1=1, axis2=2) > 0).all():
        raise UndeterminedError("some atoms have no effect on any image")
    if not (np.linalg.eigvalsh(own)[:, 0] > SMALLEST * np.trace(own, axis1=1, axis2=2)).all():
        raise UndeterminedError("what is free cannot be told from the images")
    root = coupling @ inverse_root
    start: F64 = np.linalg.inv(own).astype(np.float64)
    given, own_part = given_others(own, root, gauge)
    streams = np.random.SeedSequence(seed).spawn(len(information.weight) + 1)
    generators = [np.random.default_rng(one) for one in streams]
    totals, drawn, owed = [], [], []
    for first in range(0, samples, BATCH):
        width = min(BATCH, samples - first)
        atoms, others = information.perturbed(generators, width)
        score = atoms - coupling @ (inverse @ others)
        score -= gauge @ (gauge.T @ score)
        x = _gradients(information, root, gauge, start, score)
        drawn.append(inverse @ (others - coupling.T @ x))
        part = x.reshape(count, unknowns, width) - np.einsum("ncd,nds->ncs", given, score.reshape(count, unknowns, -1))
        owed.append(part.transpose(2, 0, 1))
        totals.append((part[:, :3] ** 2).sum((0, 1)))
    covariance, error = settled(own_part, np.concatenate(owed))
    every = np.concatenate(totals)
    whole = np.trace(covariance[:, :3, :3], axis1=1, axis2=2).sum()
    joined = np.concatenate(drawn, axis=1)
    parts = _parted(information, joined @ joined.T / samples, unseen)
    return Bound(covariance, *parts, error, float(every.std(ddof=1) / np.sqrt(samples) / whole))


def settled(given: F64, owed: F64) -> tuple[F64, F64]:
    """Return the covariance of each atom from random errors, and the standard errors of its first three variances.

    What an atom owes to the others, in units of its covariance given them, is a mean over the samples, drawn towards
    the mean over all atoms as far as its own samples are noisier than atoms differ (empirical Bayes).

    Parameters
    ----------
    given
        Covariance of each atom given all else, (N, unknowns, unknowns).
    owed
        Random errors less what they are expected to be given all else, (samples, N, unknowns).
    """
    samples, count, size = owed.shape
    values, vectors = np.linalg.eigh(given)
    values = np.maximum(values, SMALLEST * values[:, -1:])
    root = np.einsum("nab,nb,ncb->nac", vectors, np.sqrt(values), vectors)
    part = np.einsum("nab,nb,ncb,snc->sna", vectors, 1 / np.sqrt(values), vectors, owed, optimize=True)
    each = np.einsum("sna,snb->snab", part, part)
    mean = each.mean(axis=0)
    every = mean.mean(axis=0)
    noise = each.var(axis=0, ddof=1).mean(axis=0) / samples
    differ = np.maximum(mean.var(axis=0) - noise, 2 * np.sqrt(2 / count) * noise)
    share = float(differ.trace() / (differ + noise).trace())
    made: F64 = root @ (np.eye(size) + every + share * (mean - every)) @ root
    spread = np.sqrt(differ * noise / (differ + noise)).diagonal()[:3]
    return made, spread * given.diagonal(axis1=1, axis2=2)[:, :3]


def given_others(own: F64, root: F64, gauge: F64) -> tuple[F64, F64]:
    """Return the covariance of each atom given all others, as if the gauge were stiff, and without that stiffness.

    With S = F - root transpose(root) and the gauge N, errors x with S x = b are made into such of S + k N transpose(N)
    by adding N c, where c has the variance 1 / k. What x owes to the others is x - given b plus a part in c, whose
    covariance is added here, and N transpose(N) / k taken off.
    """
    rooted, still = (one.reshape(*own.shape[:2], -1) for one in (root, gauge))
    stiffness = float(np.diagonal(own, axis1=1, axis2=2).mean())
    stiff = stiffness * np.einsum("ncm,ndm->ncd", still, still)
    given: F64 = np.linalg.inv(own - np.einsum("ncg,ndg->ncd", rooted, rooted) + stiff).astype(np.float64)
    owed = still - stiffness * np.einsum("ncd,ndm->ncm", given, still)
    return given, given + (np.einsum("ncm,ndm->ncd", owed, owed) - stiff / stiffness) / stiffness


def _parted(information: Information, nuisances: F64, unseen: NDArray[np.bool_]) -> tuple[F64, F64]:
    """Return the covariances of the unknowns of each image, and the variances of the shared ones."""
    covariance = nuisances.copy()
    covariance[unseen], covariance[:, unseen] = np.nan, np.nan
    own, images = information.free.per_image, len(information.weight)
    end, count = own * images, np.arange(images)
    each = covariance[:end, :end].reshape(images, own, images, own)[count, :, count, :]
    return each, covariance.diagonal()[end:].reshape(-1, len(information.scene.weight))


def _gradients(information: Information, root: F64, gauge: F64, start: F64, score: F64) -> F64:
    """Solve (F - root transpose(root)) x = score for several columns by conjugate gradients."""

    def precondition(vectors: F64) -> F64:
        made = np.einsum("ncd,nds->ncs", start, vectors.reshape(*start.shape[:2], -1)).reshape(vectors.shape)
        made -= gauge @ (gauge.T @ made)
        return made

    x, residual = np.zeros_like(score), score.copy()
    step = precondition(residual)
    power = (residual * step).sum(0)
    first = power.copy()
    for _ in range(STEPS):
        if (power <= TOLERANCE**2 * first).all():
            return x - gauge @ (gauge.T @ x)
        image = information.apply(step) - root @ (root.T @ step)
        curve = (step * image).sum(0)
        length = np.divide(power, curve, out=np.zeros_like(power), where=curve > 0)
        x += length * step
        residual -= length * image
        new = precondition(residual)
        after = (residual * new).sum(0)
        step = new + np.divide(after, power, out=np.zeros_like(power), where=power > 0) * step
        power = after
    raise UndeterminedError(f"conjugate gradients did not converge in {STEPS} steps")


def _known_null(information: Information) -> F64:
    """Return the direction of the nuisances that is a matter of convention: all shared heights against all scales."""
    free, count = information.free, information.gram.shape[0]
    made = np.zeros((count, 0))
    if free.scale and free.heights == "shared":
        column = np.zeros(count)
        images, own = len(information.weight), free.per_image
        column[free.of_image.index("scale") : images * own : own] = -1.0
        column[images * own : images * own + len(information.scene.weight)] = 1.0
        made = column[:, None]
    return made


def _inverse_root(gram: F64, convention: F64) -> tuple[F64, NDArray[np.bool_]]:
    """Return r with r transpose(r) the inverse of what the images tell of the nuisances, and which they do not tell."""
    if not len(gram):
        return gram, np.zeros(0, bool)
    scale = np.sqrt(np.diagonal(gram))
    scale = np.divide(1.0, scale, out=np.zeros_like(scale), where=scale > 0)
    values, vectors = np.linalg.eigh(gram * scale[:, None] * scale)
    kept = values > SMALLEST * max(values[-1], 1e-300)
    root = scale[:, None] * vectors[:, kept] / np.sqrt(values[kept])
    null = vectors[:, ~kept]
    if convention.shape[1]:
        known = convention / np.where(scale > 0, scale, 1.0)[:, None]
        known /= np.linalg.norm(known)
        null = null - known @ (known.T @ null)
    unseen = (np.linalg.norm(null, axis=1) > 1e-6) | (scale == 0)
    return root, unseen
