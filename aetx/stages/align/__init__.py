"""Alignment of tilt series."""
