"""From the tilt series of an electron microscope to the 3D positions of single atoms, by one recipe."""

import sys

__version__ = "0.5.2"

if "xarray" in sys.modules:  # a session that works with data gets `ds.aetx`; `aetx --help` does not pay for it
    import aetx.core.accessor  # noqa: F401
