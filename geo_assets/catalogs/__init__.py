"""Catalog plugins: where scenes are searched, one file each."""
