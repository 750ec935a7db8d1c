"""The stations of the road, each made from what its process has opened for it.

One file each, and none imports another: a service has only its own in memory.
"""
