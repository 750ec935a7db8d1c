"""Station 4: turns an order into a running guest on one kind of hypervisor."""
