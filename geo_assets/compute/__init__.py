"""Compute plugins: where tasks run, one file each."""
