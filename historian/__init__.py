"""The historian: everything that arrives as Sparkplug becomes rows in TimescaleDB or PostgreSQL."""
