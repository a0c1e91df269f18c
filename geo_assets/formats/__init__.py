"""Formats of single images, one file each."""
