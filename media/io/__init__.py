"""The part of the engine that touches the world: loop, sockets, clock, files."""
