"""The back end ``mounted`` over a raw file, in the tests' own namespace: no export stands between."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class RawFile:
    """What the opener is given; ``directory`` is where it mounts."""

    path: Path
    directory: Path

    @contextmanager
    def file(self) -> Iterator[int]:
        descriptor = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        try:
            yield descriptor
        finally:
            os.close(descriptor)
