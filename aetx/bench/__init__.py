"""Benchmarks by name: particles with known truth through whole recipes, beside the limit and published numbers.

``aetx/bench/<name>.py`` *is* a benchmark, with ``-`` for ``_`` in its name, and holds one `Benchmark` of the name of
the file. The recipes that it runs lie in ``aetx/bench/recipes``, simulated images in ``aetx/bench/data``.
"""
