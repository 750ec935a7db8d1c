"""Small faults put into the pure decisions, one at a time: does some unit test notice? Seeded by INJECTOR_SEED."""
