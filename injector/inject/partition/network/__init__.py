"""Tells a guest its addresses in the language of the tools that it is seen to use."""

from injector.inject.partition.network.put import put_network as put_network
