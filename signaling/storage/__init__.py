"""What survives a restart: database, keys, the folder they lie in. The server and the operator's commands share it."""
