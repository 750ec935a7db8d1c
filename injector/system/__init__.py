"""This host: programs, files, locks and the key that seals secrets."""
