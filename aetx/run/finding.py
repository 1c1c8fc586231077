"""What `aetx doctor` says of one thing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """One answer: what was looked at and found, what is wanted, how it is, and what mends it."""

    what: str
    found: str
    wanted: str
    state: Literal["ok", "warn", "bad"]
    fix: str
