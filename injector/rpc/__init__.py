"""The road between stations; ``injector.rpc.Client`` is the published Python client of the product."""
