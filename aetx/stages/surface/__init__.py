"""Stages of the surface: its atoms, facets, shape, support, curvature and activity."""
