"""Siemens S7: addresses, plans pure, the codec is sans-IO, the link touches sockets."""
