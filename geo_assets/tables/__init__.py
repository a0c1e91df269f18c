"""Table plugins: what keeps the rows of chips, one file each."""
