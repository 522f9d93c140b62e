"""Starting programs: the spawner process, what it is told, and the worker's side of it."""
