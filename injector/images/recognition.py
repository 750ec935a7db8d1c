"""What the first bytes of an image say it is, whatever its owner says."""

from __future__ import annotations

import io
import re
import string

from oslo_utils.imageutils import format_inspector

HEAD_BYTES = 1024 * 1024
"""As much of an image as recognition wants: QEMU, too, reads no VMDK descriptor beyond this."""

# What QEMU's own probes would take and oslo's inspectors do not know, or do not know when the file is short.
_SIGNATURES = {
    b"QFI\xfb": "qcow2",
    b"QED\x00": "qed",
    b"KDMV": "vmdk",
    b"COWD": "vmdk",
    b"vhdxfile": "vhdx",
    b"conectix": "vhd",
    b"LUKS\xba\xbe": "luks",
    b"Bochs Virtual HD Image": "bochs",
    b"WithoutFreeSpace": "parallels",
    b"WithouFreSpacExt": "parallels",
}
_TEXT = string.printable.encode()
_SECTOR = 512
# QEMU takes a text for a VMDK descriptor when, comments and empty lines aside, it begins with a version; oslo's
# inspector wants a createType and no zero byte in the first sector.
_DESCRIPTOR = re.compile(
    rb"(?:[ \t]*(?:#[^\n\0]*)?\r?\n)*[ \t]*version[ \t]*="
    rb'|[^\0]*\bcreatetype[ \t]*="',
    re.IGNORECASE,
)


def recognise(head: bytes) -> frozenset[str]:
    """The names of every format that ``head`` (the first HEAD_BYTES, or all) could pass for; ``raw`` if for none.

    The names are oslo.utils' (``gpt`` stands for any partition table) and ``text``, which no disk image begins with.
    """
    found = {name for signature, name in _SIGNATURES.items() if head.startswith(signature)}
    if _DESCRIPTOR.match(head):
        found.add("vmdk")
    if head and not head[:_SECTOR].translate(None, _TEXT):
        # oslo's VMDK inspector trips over a text that turns binary further on.
        return frozenset(found | {"text"})
    known = {str(inspector) for inspector in inspectors(head)} - {"raw"}
    return frozenset(found | known) or frozenset({"raw"})


def inspectors(head: bytes) -> list[format_inspector.FileInspector]:
    """oslo's inspectors that recognise ``head``, fed at once: what they see depends on where chunks end."""
    wrapper = format_inspector.InspectWrapper(io.BytesIO(head))
    wrapper.read(len(head))
    wrapper.close()
    return list(wrapper.formats)
