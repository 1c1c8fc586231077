"""Arithmetic on arrays: numba for points and peaks, torch for volumes and images."""
