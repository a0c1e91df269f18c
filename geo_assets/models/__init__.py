"""Runtimes of trained models, one file each."""
