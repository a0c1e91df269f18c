"""Nouns: frozen, typed, no I/O."""
