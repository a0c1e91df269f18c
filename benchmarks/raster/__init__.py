"""The raster engine against its peers, on the same scenes, interleaved: ``python -m benchmarks.raster``."""
