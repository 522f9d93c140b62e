"""What runs in a worker after the fork."""
