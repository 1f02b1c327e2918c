"""The host's tables, as numbered SQL files that are applied in order and never edited."""
