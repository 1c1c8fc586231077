"""Lattices to strain."""
