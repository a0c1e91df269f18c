"""Verbs of Earth observation: arrays and geometries in, arrays and geometries out."""
