"""Store plugins: how products are kept, one file each."""
