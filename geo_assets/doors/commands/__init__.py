"""The commands of ``geo-assets``, by what they are for."""
