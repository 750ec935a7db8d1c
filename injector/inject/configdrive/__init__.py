"""The config drive: an ISO9660 or VFAT disk labelled ``config-2`` that the guest's agent reads at boot."""
