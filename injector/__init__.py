"""injector: boots virtual machines on libvirt/QEMU hosts and proves what each guest received."""

__version__ = "0.1.0"
