"""The processes in which a stranger's file system is read: a nursery, its workers, and a block layer for each."""
