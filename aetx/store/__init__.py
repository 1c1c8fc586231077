"""Finished results as Zarr, complete or absent."""
