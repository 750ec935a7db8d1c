"""The back end ``mounted``: this host's own kernel reads the guest's file system. For trusted images only."""
