"""Images whose centre of mass is the rotation centre."""

from __future__ import annotations

import warnings

import numpy as np
import xarray as xr

from aetx.core import Forecast, InputSizes, stage
from aetx.core.alignment import MassParams, aligned, centres_of_mass, measured, shift_forecast
from aetx.errors import AetxWarning
from aetx.model import TILT_SERIES


class CentreParams(MassParams):
    """Parameters of `centre`."""


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
    hidden by diffraction. A warning is given where the specimen meets an edge. Wrong for films.

    `shift_x` and `shift_y` sum up how far the content of each image lay from where it belongs, over all stages; the
    `mask` leaves out pixels that came from beyond an edge.

    References
    ----------
    M. C. Scott et al., Nature 483, 444 (2012), doi:10.1038/nature10934 (centre of mass alignment).
    """
    images, trusted = measured("align.centre", series)
    found = centres_of_mass("align.centre", series, images, trusted, params)
    cut = np.flatnonzero(found.cut)
    if cut.size:
        text = f"what is taken for the specimen meets the edge of {cut.size} images, tilt {cut[:5].tolist()}"
        warnings.warn(f"{text}: their centres of mass are not those of the whole", AetxWarning, stacklevel=2)
    return aligned(series, found.place, found.error)
