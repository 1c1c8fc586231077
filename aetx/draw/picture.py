"""One picture."""

from __future__ import annotations

import io
from dataclasses import dataclass

from matplotlib.figure import Figure

DPI = 144


@dataclass(frozen=True)
class Picture:
    """A figure with a name for its file, a title and a sentence that says what it shows."""

    name: str
    title: str
    caption: str
    figure: Figure

    def png(self) -> bytes:
        """Return the picture as a PNG file of about 1300 pixels across; the same bytes for the same data."""
        buffer = io.BytesIO()
        self.figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
        return buffer.getvalue()
