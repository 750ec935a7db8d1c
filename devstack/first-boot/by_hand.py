"""The domain of a server as one that a person could have written: by_hand.py DIRECTORY NAME < XML > XML.

Its files are those of DIRECTORY, its identity is its own, and it has no console but a log file: `virsh create` then
starts the same machine without injector.
"""

import sys
import uuid
import xml.etree.ElementTree as ET
from pathlib import Path


def rename(domain: ET.Element, name: str) -> None:
    identity = str(uuid.uuid4())
    for element in domain.iter("name"):
        element.text = name
    for element in domain.iter("uuid"):
        element.text = identity
    for entry in domain.iter("entry"):
        if entry.get("name") == "uuid":
            entry.text = identity
    for metadata in domain.findall("metadata"):
        domain.remove(metadata)


def move(domain: ET.Element, directory: Path) -> None:
    # Everything of an instance lies in one directory under the names that are kept here.
    for element in domain.iter():
        for attribute in ("file", "path"):
            value = element.get(attribute)
            if value and "/instances/" in value:
                element.set(attribute, str(directory / Path(value).name))


def main() -> None:
    directory, name = Path(sys.argv[1]), sys.argv[2]
    domain = ET.fromstring(sys.stdin.read())  # noqa: S314  # libvirt's own
    rename(domain, name)
    move(domain, directory)
    sys.stdout.write(ET.tostring(domain, encoding="unicode"))


main()
