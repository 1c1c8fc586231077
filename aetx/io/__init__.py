"""Files to datasets: one reader a file in `formats`, and what the recipe states about them."""

from aetx.io.checks import check_pixels
from aetx.io.open import describe_files, open_input
from aetx.io.stated import Stated

__all__ = ["Stated", "check_pixels", "describe_files", "open_input"]
