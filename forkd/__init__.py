"""forkd: a pre-fork, multi-worker server daemon for Linux."""

__version__ = "0.1.0"
