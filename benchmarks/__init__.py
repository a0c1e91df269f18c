"""The measurements that the documents quote: ``make bench``, or one of them by ``python -m benchmarks.NAME``."""
