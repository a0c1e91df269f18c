"""Ways in: command line, Python reader."""
