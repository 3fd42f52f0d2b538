"""Annotation formats, one module each, and the one type that all of them are read into."""
