"""The road between stations; ``injector.rpc.Client`` is the published Python client of the product."""

from injector.rpc.client import Booted, BootOptions, Card, Client, File, Keep, RebuildOptions, Rebuilt

__all__ = ["BootOptions", "Booted", "Card", "Client", "File", "Keep", "RebuildOptions", "Rebuilt"]
