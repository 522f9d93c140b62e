"""One module for each action of the configuration; base.py says what a handler is."""
