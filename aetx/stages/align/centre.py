"""Images whose centre of mass is the rotation centre."""

from __future__ import annotations

import warnings

import numpy as np
import xarray as xr
from pydantic import Field

from aetx.core import Forecast, InputSizes, Length, Params, stage
from aetx.core.alignment import aligned, measured, pixel_variance, shift_forecast
from aetx.core.tomography import pixel_size
from aetx.errors import AetxWarning, InputError, Problem
from aetx.kernels.centring import centre_of_mass
from aetx.model import TILT_SERIES


class CentreParams(Params):
    """Parameters of `centre`."""

    threshold: float = Field(
        0.07, gt=0, lt=1, description="the specimen is what is above this fraction of the greatest smoothed value"
    )
    smooth: Length = Field(2.0, ge=0, le=100, description="Gaussian width of that smoothing")
    margin: Length = Field(4.0, ge=0, le=1000, description="by how much the mask reaches beyond that")
    rounds: int = Field(5, ge=1, le=100, description="most times that mask and background are found anew")


def _forecast(inputs: InputSizes, params: CentreParams) -> Forecast:
    return shift_forecast(inputs, 4e-7 + 6e-8 * params.rounds)


@stage("align.centre", takes={"series": TILT_SERIES}, gives=TILT_SERIES, params=CentreParams, forecast=_forecast)
def centre(series: xr.Dataset, params: CentreParams) -> xr.Dataset:
    """Images moved so that the centre of mass of the specimen is at the rotation centre.

    A projection of the centre of mass is the centre of mass of the projection, whatever the pose:

        shift = sum w (I - b) r / sum w (I - b)

    with a soft mask w of the specimen and the mean background b outside of it, both found anew until they stay.
    `shift_x_error` and `shift_y_error` are the standard errors by the noise of the pixels: the `variance` of the
    series, else that of Poisson counts where the images are counts, and at least the scatter outside the specimen.
    They do not know what biases a centre: a background that varies, a neighbour, mass that leaves the view or is
    hidden by diffraction. A warning is given where the mask meets an edge. Wrong for films.

    `shift_x` and `shift_y` sum up how far the content of each image lay from where it belongs, over all stages; the
    `mask` leaves out pixels that came from beyond an edge.

    References
    ----------
    M. C. Scott et al., Nature 483, 444 (2012), doi:10.1038/nature10934 (centre of mass alignment).
    """
    images, trusted = measured("align.centre", series)
    step = pixel_size(series)
    variance = pixel_variance(series, images)
    found = [
        centre_of_mass(
            image,
            seen,
            None if variance is None else variance[i],
            params.threshold,
            params.smooth / step,
            round(params.margin / step),
            params.rounds,
        )
        for i, (image, seen) in enumerate(zip(images, trusted, strict=True))
    ]
    place = np.array([one.place for one in found]) * step
    error = np.array([one.error for one in found]) * step
    lost = np.flatnonzero(~np.isfinite(place).all(axis=1))
    if lost.size:
        text = f"no specimen above the background in tilt {', '.join(map(str, lost[:5]))}"
        fix = "subtract the background, or leave those images out"
        raise InputError(Problem("align.centre: series", "image", text, "images of one specimen", fix))
    cut = np.flatnonzero([one.cut > 0 for one in found])
    if cut.size:
        text = f"what is taken for the specimen meets the edge of {cut.size} images, tilt {cut[:5].tolist()}"
        warnings.warn(f"{text}: their centres of mass are not those of the whole", AetxWarning, stacklevel=2)
    corner = np.array([float(series["x"][0]), float(series["y"][0])])
    return aligned(series, place + corner, error)
