"""Hostile file systems: mutated ones by the thousand, sent down the real road; ``python -m tests.fuzz --help``."""
