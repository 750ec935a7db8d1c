"""Station 5: decides by which channel a guest receives its identity, delivers it, and proves what was delivered."""
