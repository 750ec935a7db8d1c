"""What tells our domains from anybody else's: an element in the domain's metadata."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar
from xml.etree import ElementTree
from xml.etree.ElementTree import Element


@dataclass(frozen=True, slots=True)
class Mark:
    """``home`` is the installation's directory of instances: two daemons may share one libvirt without meeting."""

    NAMESPACE: ClassVar[str] = "urn:injector:domain:1"

    instance_id: str
    home: str

    def write(self) -> Element:
        return Element(f"{{{self.NAMESPACE}}}instance", {"id": self.instance_id, "home": self.home})

    @classmethod
    def read(cls, text: str) -> Mark | None:
        """The mark as libvirt gives it back; None when it is not one."""
        try:
            found = ElementTree.fromstring(text)  # noqa: S314 - libvirtd's own words
        except ElementTree.ParseError:
            return None
        instance_id, home = found.get("id"), found.get("home")
        return cls(instance_id, home) if instance_id and home else None


ElementTree.register_namespace("injector", Mark.NAMESPACE)
