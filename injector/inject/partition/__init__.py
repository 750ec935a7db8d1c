"""Partition injection: writes into the guest's own root file system before it boots, exactly or not at all."""
