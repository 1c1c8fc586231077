"""Sizes and times as people say them."""

from __future__ import annotations

import re


def size(count: int) -> str:
    """Write a number of bytes for people."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.2f} TB"


def seconds(value: float) -> str:
    """Write a time span for people."""
    if value < 60:
        return f"{value:.2g} s" if value < 1 else f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def short(text: str, most: int = 100) -> str:
    """Return a line as a table can hold it: the folders before a file that it begins with left out, and cut."""
    line = re.sub(r"^/[^:]*/", "", text)
    return line if len(line) <= most else f"{line[: most - 2]} …"
