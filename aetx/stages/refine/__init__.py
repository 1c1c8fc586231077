"""Atoms refined against the images."""
