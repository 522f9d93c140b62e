"""What is counted of requests, by route: how many, with which answers, and how long they took."""
