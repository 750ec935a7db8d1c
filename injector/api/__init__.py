"""Station 1: REST and RPC requests in, validated and resolved; ``BootRequest``s out to the dispatcher."""
