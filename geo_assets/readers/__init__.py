"""Reader plugins: source pixels on a target grid, one file each."""
