"""Finished results as Zarr stores that are complete or absent; one writer per output folder."""

from aetx.store.checking import Expected, Known, read_again
from aetx.store.cleaning import Waste, find_exports, find_litter, find_parts, find_stores, remove_waste
from aetx.store.disk import write_atomically
from aetx.store.export import check_export, expected_export, read_note, write_export
from aetx.store.folder import MARKER, SCRATCH, claim_output, end_swaps, refuse_output, sweep, sweep_parts
from aetx.store.lock import Holder, Lock, holder
from aetx.store.opening import (
    Manifest,
    check_sizes,
    damage_in_words,
    expected_files,
    manifest,
    open_store,
    verify,
)
from aetx.store.publish import write

__all__ = [
    "MARKER",
    "SCRATCH",
    "Expected",
    "Holder",
    "Known",
    "Lock",
    "Manifest",
    "Waste",
    "check_export",
    "check_sizes",
    "claim_output",
    "damage_in_words",
    "end_swaps",
    "expected_export",
    "expected_files",
    "find_exports",
    "find_litter",
    "find_parts",
    "find_stores",
    "holder",
    "manifest",
    "open_store",
    "read_again",
    "read_note",
    "refuse_output",
    "remove_waste",
    "sweep",
    "sweep_parts",
    "verify",
    "write",
    "write_atomically",
    "write_export",
]
