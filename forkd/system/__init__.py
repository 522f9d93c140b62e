"""Thin, typed wrappers on what Linux offers. No policy."""
