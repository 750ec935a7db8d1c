"""The only reader of oslo.config: options in, frozen settings out."""

from injector.conf.read import load, read

__all__ = ["load", "read"]
