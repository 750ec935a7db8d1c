"""How elements of a domain are written: structure and escaping by construction."""

from __future__ import annotations

from xml.etree.ElementTree import Element


def element(tag: str, *children: Element | None, text: str | None = None, **attributes: str) -> Element:
    """An element; children that are None are left out, so that a description can say "perhaps"."""
    made = Element(tag, attributes)
    made.text = text
    made.extend(child for child in children if child is not None)
    return made
