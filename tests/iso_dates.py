"""Sets every date in an ISO9660 image to one moment, so that no clock shows in it."""

from __future__ import annotations

from datetime import UTC, datetime

from injector.inject.configdrive import ecma119

# Offsets in a volume descriptor: made, changed, effective. The fourth, expiry, stays "not given".
_DESCRIPTOR_DATES = (813, 830, 864)
_RECORD_DATE = 18
_LONG_FORM = 0x80


def set_dates(image: bytearray | memoryview, moment: datetime) -> None:
    """``moment`` is aware; the dates are UTC with second precision. ValueError for an image that is none."""
    utc = moment.astimezone(UTC)
    short, long = _short(utc), _long(utc)
    for descriptor in ecma119.descriptors(image):
        for field in _DESCRIPTOR_DATES:
            _put(image, descriptor.offset + field, long)
        top = ecma119.root(image, descriptor)
        _put(image, top.offset + _RECORD_DATE, short)
        waiting = [top]
        for directory in waiting:
            for record in ecma119.children(image, directory):
                _set_record(image, record, short, long)
                if record.is_directory and not record.is_self_or_parent:
                    waiting.append(record)


def _set_record(image: bytearray | memoryview, record: ecma119.Record, short: bytes, long: bytes) -> None:
    _put(image, record.offset + _RECORD_DATE, short)
    for signature, begin, end in ecma119.entries(image, record):
        if signature == b"TF":
            stamp = long if image[begin + 4] & _LONG_FORM else short
            for offset in range(begin + 5, end, len(stamp)):
                _put(image, offset, stamp)


def _put(image: bytearray | memoryview, offset: int, stamp: bytes) -> None:
    image[offset : offset + len(stamp)] = stamp


def _short(utc: datetime) -> bytes:
    return bytes((utc.year - 1900, utc.month, utc.day, utc.hour, utc.minute, utc.second, 0))


def _long(utc: datetime) -> bytes:
    return utc.strftime("%Y%m%d%H%M%S00").encode() + b"\x00"
