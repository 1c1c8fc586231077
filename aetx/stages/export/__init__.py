"""Datasets to the files of other programs."""
