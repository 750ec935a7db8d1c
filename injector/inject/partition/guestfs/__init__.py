"""The back end ``guestfs``: libguestfs's appliance, a small virtual machine, reads the guest's file system."""
