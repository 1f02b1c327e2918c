"""Everything that crosses a wire, for both sides of it: no I/O, no clock, no logging."""
