"""Connections: the protocols of proto over the streams of loop, answered by handlers."""
