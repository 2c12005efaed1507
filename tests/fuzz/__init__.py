"""Broken files through everything that reads."""
