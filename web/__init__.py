"""The console's backend: sign-in, REST, the live socket and the built page."""
