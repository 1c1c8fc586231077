"""Plan, store and dask to results."""
