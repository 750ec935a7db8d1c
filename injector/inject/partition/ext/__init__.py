"""The ``ext`` back end: ext2, ext3 and ext4 edited in user space by libext2fs; nothing is mounted, nobody is root."""
