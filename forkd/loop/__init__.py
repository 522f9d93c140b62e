"""The event loop: epoll, deadlines, sockets with a queue of output. Knows nothing of HTTP."""
