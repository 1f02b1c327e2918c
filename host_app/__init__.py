"""The primary host application: the one that knows the truth about every node."""
