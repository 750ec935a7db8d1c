"""cloud-init's own reader of config drives as a judge: Debian's package, unpacked and never installed.

Installed, cloud-init could rewrite this host at its next boot. Here it is a directory of Python, kept below
``INJECTOR_TEST_CACHE`` or pytest's cache, and one process that is asked about one drive after the other.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from injector.system.process import run

# cloud-init and the libraries its reader imports, all for Debian's own Python.
_PACKAGES = (
    "cloud-init",
    "python3-certifi",
    "python3-chardet",
    "python3-configobj",
    "python3-idna",
    "python3-json-pointer",
    "python3-jsonpatch",
    "python3-requests",
    "python3-six",
    "python3-urllib3",
    "python3-yaml",
)
_PYTHON = "/usr/bin/python3"


class CloudInit:
    """The process; ``read`` asks it about one drive laid out as a directory."""

    def __init__(self, libraries: Path) -> None:
        self.schema = libraries / "cloudinit/config/schemas/schema-cloud-config-v1.json"
        judge = Path(__file__).with_name("cloudinit_judge.py")
        # -S: nothing of the machine or of this environment is imported in place of what was unpacked.
        self._process = subprocess.Popen(
            [_PYTHON, "-S", judge],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={"PYTHONPATH": str(libraries), "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
            text=True,
        )

    def read(self, directory: Path, macs: Mapping[str, str]) -> dict[str, Any]:
        """What cloud-init makes of the drive in a guest with these cards (name by MAC); ``error`` when nothing.

        Bytes come back as bytes; ``network`` is the configuration cloud-init would render.
        """
        return self._ask({"directory": str(directory), "macs": dict(macs)})

    def parts(self, user_data: bytes) -> dict[str, Any]:
        """``parts``: what cloud-init takes each part of user-data for, by content type; ``error`` when it gives up."""
        return self._ask({"user_data": base64.b64encode(user_data).decode()})

    def passwords(self, directory: Path) -> dict[str, Any]:
        """``set``: user, password and whether it is a hash, as cloud-init would set them in a guest with this drive."""
        return self._ask({"passwords": str(directory)})

    def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(question), file=self._process.stdin, flush=True)
        answer: dict[str, Any] = _revive(json.loads(self._process.stdout.readline()))
        return answer

    def close(self) -> None:
        self._process.communicate(timeout=10)


def _revive(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _revive(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_revive(one) for one in value]
    if isinstance(value, str) and value.startswith("base64:"):
        return base64.b64decode(value.removeprefix("base64:"))
    return value


def unpack(cache: Path) -> Path:
    """The directory to import cloud-init from, made below ``cache`` if it is not there yet."""
    target = cache / f"cloud-init-{hashlib.sha256(' '.join(_PACKAGES).encode()).hexdigest()[:8]}"
    libraries = target / "usr/lib/python3/dist-packages"
    if not libraries.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix="cloud-init.", dir=cache))
        _download(fresh)
        shutil.rmtree(target, ignore_errors=True)
        fresh.rename(target)
    return libraries


def _download(directory: Path) -> None:
    script = 'cd "$1"; shift; apt-get download -q "$@" && for deb in *.deb; do dpkg-deb -x "$deb" .; done; rm -f *.deb'
    run(["sh", "-ec", script, "sh", directory, *_PACKAGES], purpose="unpack cloud-init", limits=None, timeout=300)


@pytest.fixture(scope="session")
def cloud_init(request: pytest.FixtureRequest) -> Iterator[CloudInit]:
    """cloud-init's reader, ready to be asked."""
    chosen = os.environ.get("INJECTOR_TEST_CACHE")
    cache = Path(chosen) if chosen else request.config.cache.mkdir("injector")
    reader = CloudInit(unpack(cache))
    yield reader
    reader.close()
