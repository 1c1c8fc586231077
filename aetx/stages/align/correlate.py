"""Images laid upon their neighbours by correlation."""

from __future__ import annotations

import warnings

import numpy as np
import xarray as xr
from pydantic import Field

from aetx.core import Forecast, InputSizes, Length, Params, stage
from aetx.core.alignment import ONE, aligned, measured, shift_forecast
from aetx.core.tomography import grid, pixel_size, rotations
from aetx.errors import AetxWarning
from aetx.kernels.registration import Band, shift_between
from aetx.kernels.tilt_chain import flat_map, neighbours, stretched
from aetx.model import TILT_SERIES


class CorrelateParams(Params):
    """Parameters of `correlate`."""

    stretch: bool = Field(True, description="stretch the neighbour by the ratio of cosines, as a flat specimen is")
    fine: Length = Field(1.0, ge=0, le=1000, description="Gaussian width of the smoothing before images are correlated")
    coarse: Length | None = Field(
        4.0, gt=0, le=1e5, description="Gaussian width of the smooth image that is subtracted; none for no such image"
    )
    whitening: float = Field(
        0.0, ge=0, le=1, description="from 0 for cross correlation to 1 for phase correlation: power of the amplitudes"
    )
    taper: float = Field(0.1, ge=0, le=0.5, description="share of an image over which it fades at each side")
    reach: Length = Field(20.0, gt=0, le=1e4, description="greatest shift between neighbours that is looked for")


def _forecast(inputs: InputSizes, _: CorrelateParams) -> Forecast:
    return shift_forecast(inputs, 4e-6)


@stage("align.correlate", takes={"series": TILT_SERIES}, gives=TILT_SERIES, params=CorrelateParams, forecast=_forecast)
def correlate(series: xr.Dataset, params: CorrelateParams) -> xr.Dataset:
    """Images moved so that each lies upon its neighbour in tilt, as correlation finds it.

    From the image whose beam is nearest to z, each next one is compared with that neighbour among the earlier ones
    whose beam is nearest. With `stretch`, the neighbour is drawn first as a specimen in the plane z = 0 would look at
    the new tilt; for one axis along y

        x' = x cos(theta') / cos(theta),

    for other poses the matrix M' M**-1, M the x and y of transpose(R). The shifts add up along the chain, and so do
    the squares of their errors: `shift_x_error` and `shift_y_error` are those from the first image, by the difference
    between the images; `correlation` is the coefficient of each image with its neighbour. Where no peak is in reach
    an image goes where its neighbour goes, and its errors are NaN.

    Neighbours are different projections of what is not flat: shifts drift along the chain, by a few percent of the
    width of a particle, which the errors do not know. It is the start for series that no centre of mass aligns; finer
    stages follow. Shifts that a translation of the specimen makes are not told by projections, and are those of the
    first image.

    References
    ----------
    R. Guckenberger, Ultramicroscopy 9, 167 (1982) (stretched neighbours).
    """
    images, trusted = measured("align.correlate", series)
    images = np.where(trusted, images, _levels(images, trusted)).astype(np.float32)
    step, turned = pixel_size(series), rotations(series)
    place = grid(series, "yx", step)
    band = Band(
        params.fine / step,
        np.inf if params.coarse is None else params.coarse / step,
        params.whitening,
        params.taper,
    )
    count = len(images)
    shift, variance, peak = np.zeros((count, 2)), np.zeros((count, 2)), np.full(count, np.nan)
    order, before = neighbours(turned)
    lost: list[int] = []
    for i in order[1:]:
        near = before[i]
        matrix = flat_map(turned[near], turned[i]) if params.stretch else np.eye(2)
        # the neighbour's content lies at its own shift, which the stretch moves too
        guess = matrix @ shift[near]
        found = shift_between(stretched(images[near], place, matrix), images[i], band, params.reach / step, np.zeros(2))
        known = np.isfinite(found.covariance).all()
        apart = found.value[::-1] if known else np.zeros(2)
        spread = np.diag(found.covariance)[::-1]
        shift[i], variance[i], peak[i] = guess + apart, (matrix**2) @ variance[near] + spread, found.peak
        if not known:
            lost.append(int(series["tilt"].values[i]))
    if lost:
        text = f"no peak of the correlation in reach for {len(lost)} images, tilt {lost[:5]}"
        warnings.warn(f"{text}: raise 'reach' or 'fine'", AetxWarning, stacklevel=2)
    made = aligned(series, shift * step, np.sqrt(variance) * step)
    return made.assign(correlation=("tilt", peak, ONE))


def _levels(images: np.ndarray, trusted: np.ndarray) -> np.ndarray:
    """Return the mean trusted value of each image, shape (tilts, 1, 1)."""
    count = np.maximum(trusted.sum(axis=(1, 2), keepdims=True), 1)
    return np.asarray(images.sum(axis=(1, 2), keepdims=True, dtype=float) / count)
