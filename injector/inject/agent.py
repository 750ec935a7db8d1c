"""Whether an image has something that reads a config drive: what its owner says, else what was found in it."""

from __future__ import annotations

from injector.errors import InvalidRequest
from injector.model.facts import Agent, ImageFacts
from injector.model.image import Image

PROPERTY = "injector_agent"
"""The image property by which its owner overrules what was found: ``yes`` or ``no``."""

WORDS = (Agent.YES.value, Agent.NO.value)


def agent_of(image: Image, facts: ImageFacts | None) -> Agent:
    """InvalidRequest for a property that is neither yes nor no.

    A root without an agent proves nothing for an image that is booted with a ramdisk of its own: it may live there.
    """
    said = image.properties.get(PROPERTY)
    if said is not None:
        if said not in WORDS:
            raise InvalidRequest(f"{PROPERTY} '{said}' of the image is neither yes nor no", field=PROPERTY)
        return Agent(said)
    if facts is None or (facts.agent is Agent.NO and image.properties.get("ramdisk_id")):
        return Agent.UNKNOWN
    return facts.agent


def no_agent(image: Image) -> str:
    """Why nothing on a drive would be read; tells the owner how to say otherwise."""
    if PROPERTY in image.properties:
        return f"the image has no agent that reads a config drive, says its owner ({PROPERTY})"
    return f"the image has no agent that reads a config drive ({PROPERTY}=yes on the image, if it has one after all)"
