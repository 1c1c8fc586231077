"""Tilt series to volumes."""
