"""Lattices of atoms: grains, layers, twins."""
