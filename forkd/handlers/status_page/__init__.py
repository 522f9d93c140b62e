"""The status page: its markup, its look and its script in files of their own, and what fills it."""
