"""The libvirt driver: host (the only door to libvirt), domain XML, disks, guest."""
