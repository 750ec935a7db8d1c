"""The binding of libext2fs: the functions that are used, the C structures, and what its error codes mean here."""

from __future__ import annotations

import ctypes
import functools
from ctypes import (
    CFUNCTYPE,
    POINTER,
    Structure,
    c_char_p,
    c_int,
    c_long,
    c_size_t,
    c_uint,
    c_uint16,
    c_uint32,
    c_uint64,
    c_ulong,
    c_ulonglong,
    c_void_p,
)
from typing import Any

from injector.errors import ChannelBroken, GuestUnreadable, HostError, InjectorError, ItemRefused
from injector.model.hostile import one_line

_NAME = "libext2fs.so.2"
_OLDEST = 147
"""1.47, of Debian 12: the first that was tried. The name of the file promise what lies in the structures."""

errcode_t = c_long
Pointer = POINTER(c_void_p)

_BASE = 2133571328
FILESYSTEM_MAGIC = _BASE + 1
CHANNEL_MAGIC = _BASE + 5
MANAGER_MAGIC = _BASE + 7
DIR_NO_SPACE = _BASE + 38
_NO_MEMORY = _BASE + 70
FILE_NOT_FOUND = _BASE + 76
KEY_NOT_FOUND = _BASE + 162

_REFUSED = {
    DIR_NO_SPACE: "its directory is full",
    _BASE + 72: "the guest's file system is full",
    _BASE + 73: "the guest's file system has no free inode",
    _BASE + 82: "it is larger than the guest's file system allows",
    _BASE + 89: "its directory is sorted in a way that is not known here",
    _BASE + 163: "there is no room for its SELinux label",
    _BASE + 164: "the guest's file system has no extended attributes, so no SELinux label",
}

ReadBlocks = CFUNCTYPE(errcode_t, c_void_p, c_ulonglong, c_int, c_void_p)
WriteByte = CFUNCTYPE(errcode_t, c_void_p, c_ulong, c_int, c_void_p)
Open = CFUNCTYPE(errcode_t, c_char_p, c_int, Pointer)
OfChannel = CFUNCTYPE(errcode_t, c_void_p)
SetBlockSize = CFUNCTYPE(errcode_t, c_void_p, c_int)
EachBlock = CFUNCTYPE(c_int, c_void_p, POINTER(c_uint64), c_long, c_uint64, c_int, c_void_p)


class IoChannel(Structure):
    """``struct struct_io_channel`` of ext2_io.h."""

    _fields_ = [
        ("magic", errcode_t),
        ("manager", c_void_p),
        ("name", c_char_p),
        ("block_size", c_int),
        ("read_error", c_void_p),
        ("write_error", c_void_p),
        ("refcount", c_int),
        ("flags", c_int),
        ("reserved", c_long * 14),
        ("private_data", c_void_p),
        ("app_data", c_void_p),
        ("align", c_int),
    ]


class IoManager(Structure):
    """``struct struct_io_manager`` of ext2_io.h. What is left out there may be NULL."""

    _fields_ = [
        ("magic", errcode_t),
        ("name", c_char_p),
        ("open", Open),
        ("close", OfChannel),
        ("set_blksize", SetBlockSize),
        ("read_blk", ReadBlocks),
        ("write_blk", ReadBlocks),
        ("flush", OfChannel),
        ("write_byte", WriteByte),
        ("set_option", c_void_p),
        ("get_stats", c_void_p),
        ("read_blk64", ReadBlocks),
        ("write_blk64", ReadBlocks),
        ("discard", c_void_p),
        ("cache_readahead", c_void_p),
        ("zeroout", c_void_p),
        ("reserved", c_long * 14),
    ]


class Filesystem(Structure):
    """The beginning of ``struct struct_ext2_filsys`` of ext2fs.h, as far as it is used."""

    _fields_ = [
        ("magic", errcode_t),
        ("io", c_void_p),
        ("flags", c_int),
        ("device_name", c_void_p),
        ("super", c_void_p),
        ("blocksize", c_uint),
        ("fragsize", c_int),
        ("group_desc_count", c_uint32),
        ("desc_blocks", c_ulong),
        ("group_desc", c_void_p),
        ("inode_blocks_per_group", c_uint),
        ("inode_map", c_void_p),
        ("block_map", c_void_p),
        ("callbacks", c_void_p * 5),
        ("badblocks", c_void_p),
        ("dblist", c_void_p),
        ("stride", c_uint32),
        ("orig_super", c_void_p),
        ("image_header", c_void_p),
        ("umask", c_uint32),
        ("now", c_long),
        ("cluster_ratio_bits", c_int),
        ("default_bitmap_type", c_uint16),
        ("pad", c_uint16),
    ]


FilesystemPointer = POINTER(Filesystem)
_fs = FilesystemPointer
_ino = c_uint32

_SIGNATURES: dict[str, tuple[Any, ...]] = {
    "initialize_ext2_error_table": (None,),
    "ext2fs_get_library_version": (c_int, POINTER(c_char_p), POINTER(c_char_p)),
    "ext2fs_crc32c_le": (c_uint32, c_uint32, c_char_p, c_size_t),
    "ext2fs_open": (errcode_t, c_char_p, c_int, c_int, c_uint, POINTER(IoManager), POINTER(_fs)),
    "ext2fs_flush": (errcode_t, _fs),
    "ext2fs_free": (None, _fs),
    "ext2fs_check_desc": (errcode_t, _fs),
    "ext2fs_group_desc_csum_verify": (c_int, _fs, c_uint32),
    "ext2fs_read_bitmaps": (errcode_t, _fs),
    "ext2fs_block_alloc_stats2": (None, _fs, c_uint64, c_int),
    "ext2fs_get_block_bitmap_range2": (errcode_t, c_void_p, c_uint64, c_size_t, c_void_p),
    "ext2fs_get_inode_bitmap_range2": (errcode_t, c_void_p, c_uint64, c_size_t, c_void_p),
    "ext2fs_super_and_bgd_loc2": (errcode_t, _fs, c_uint, *[POINTER(c_uint64)] * 3, POINTER(c_uint)),
    "ext2fs_free_blocks_count": (c_uint64, c_void_p),
    "ext2fs_free_blocks_count_set": (None, c_void_p, c_uint64),
    "ext2fs_lookup": (errcode_t, _fs, _ino, c_char_p, c_int, c_void_p, POINTER(_ino)),
    "ext2fs_read_inode_full": (errcode_t, _fs, _ino, c_void_p, c_int),
    "ext2fs_write_inode_full": (errcode_t, _fs, _ino, c_void_p, c_int),
    "ext2fs_bmap2": (errcode_t, _fs, _ino, c_void_p, c_void_p, c_int, c_uint64, POINTER(c_int), POINTER(c_uint64)),
    "ext2fs_read_dir_block4": (errcode_t, _fs, c_uint64, c_void_p, c_int, _ino),
    "ext2fs_block_iterate3": (errcode_t, _fs, _ino, c_int, c_void_p, EachBlock, c_void_p),
    "ext2fs_file_open": (errcode_t, _fs, _ino, c_int, Pointer),
    "ext2fs_file_read": (errcode_t, c_void_p, c_void_p, c_uint, POINTER(c_uint)),
    "ext2fs_file_write": (errcode_t, c_void_p, c_char_p, c_uint, POINTER(c_uint)),
    "ext2fs_file_close": (errcode_t, c_void_p),
    "ext2fs_new_inode": (errcode_t, _fs, _ino, c_int, c_void_p, POINTER(_ino)),
    "ext2fs_inode_alloc_stats2": (None, _fs, _ino, c_int, c_int),
    "ext2fs_mkdir": (errcode_t, _fs, _ino, _ino, c_char_p),
    "ext2fs_link": (errcode_t, _fs, _ino, c_char_p, _ino, c_int),
    "ext2fs_expand_dir": (errcode_t, _fs, _ino),
    "ext2fs_xattrs_open": (errcode_t, _fs, _ino, Pointer),
    "ext2fs_xattrs_flags": (errcode_t, c_void_p, POINTER(c_uint), POINTER(c_uint)),
    "ext2fs_xattrs_read": (errcode_t, c_void_p),
    "ext2fs_xattr_get": (errcode_t, c_void_p, c_char_p, Pointer, POINTER(c_size_t)),
    "ext2fs_xattr_set": (errcode_t, c_void_p, c_char_p, c_char_p, c_size_t),
    "ext2fs_xattrs_close": (errcode_t, Pointer),
}


@functools.cache
def library() -> Any:
    """libext2fs, loaded once. Raises HostError saying what is missing."""
    try:
        found = ctypes.CDLL(_NAME, use_errno=False)
        for name, (result, *arguments) in _SIGNATURES.items():
            function = getattr(found, name)
            function.restype, function.argtypes = result, arguments
    except (OSError, AttributeError) as error:
        raise HostError(f"{_NAME} of e2fsprogs 1.47 is not installed on this host", detail=str(error)) from error
    version = found.ext2fs_get_library_version(None, None)
    if version < _OLDEST:
        raise HostError(f"libext2fs is too old: {version} of {_OLDEST}")
    # The table of messages is built with a malloc and a lock: before the sandbox, not in it.
    found.initialize_ext2_error_table()
    return found


@functools.cache
def _tools() -> tuple[Any, Any]:
    """com_err's messages, and libc's free for what the library gives away."""
    messages = ctypes.CDLL("libcom_err.so.2").error_message
    messages.restype, messages.argtypes = c_char_p, [errcode_t]
    free = ctypes.CDLL(None).free
    free.restype, free.argtypes = None, [c_void_p]
    return messages, free


def prepare() -> None:
    """Load everything now, so that nothing is opened later. Raises HostError saying what is missing."""
    library()
    try:
        _tools()[0](_BASE)
    except OSError as error:
        raise HostError("libcom_err.so.2 is not installed on this host", detail=str(error)) from error


def missing() -> str | None:
    """Why this host has no such back end."""
    try:
        prepare()
    except HostError as error:
        return error.message
    return None


def free(address: int) -> None:
    _tools()[1](address)


def failure(code: int) -> InjectorError:
    """What an error code means: the guest says no, has no memory left for us, or is damaged."""
    if code in _REFUSED:
        return ItemRefused(_REFUSED[code])
    if code in (_NO_MEMORY, 12):
        return ChannelBroken("there is no memory left to edit the guest's file system")
    text = one_line(_tools()[0](code) or b"", 200)
    return GuestUnreadable(f"its file system is damaged: {text or code}")
