"""Files to datasets: one reader a file in `formats`, and what the recipe states about them."""
