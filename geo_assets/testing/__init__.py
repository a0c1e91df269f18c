"""Synthetic scenes, fakes and a conformance class for each plugin kind."""
