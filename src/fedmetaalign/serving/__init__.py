"""A run over Flower: the server, and a whole fleet on this machine."""
