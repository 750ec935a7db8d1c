"""Mains and wiring: the only place that knows every station."""
