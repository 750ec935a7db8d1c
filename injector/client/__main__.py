"""The command by ``python -m injector.client``, for where its script is not on the path."""

from __future__ import annotations

import sys

from injector.client.shell import main

if __name__ == "__main__":
    sys.exit(main())
