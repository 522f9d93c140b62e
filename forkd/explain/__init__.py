"""`forkd explain URL`: what a request for a URL would meet, in the words of the error log.

It reuses what serves: routes, the lookup of scripts and files, the words for failures. It runs in a
process of its own, which the master forks for each question; it looks at files as the user who
would open them does, and starts nothing.
"""
