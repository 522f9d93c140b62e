"""The master: binds, forks, supervises, reloads. Imports no worker, no handler, no application."""
