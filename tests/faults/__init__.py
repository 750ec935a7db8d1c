"""Faults while guests are made, changed and deleted: what was lost, ran twice, got stuck or stayed behind is counted.

``python -m tests.faults --rounds 5 --results FILE [KIND...]``; doc/contributor/faults.rst says what each kind does.
"""
