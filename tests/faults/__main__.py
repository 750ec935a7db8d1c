"""The command line of the faults: rounds of all kinds, resumed where the results end."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import traceback
from contextlib import suppress
from pathlib import Path

from tests.faults import results
from tests.faults.case import Pace, Result, Stage, a_stage, keep_logs
from tests.faults.kinds import KINDS
from tests.faults.private import private_servers

_PORT = 18900


class _Spoilt(Exception):
    """The rig of a case that was not clean is not used for another."""


def main() -> int:
    asked = _arguments()
    # Told to end, it ends what it has started.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit("told to end; the same command goes on"))
    if not asked.table:
        logging.disable(logging.ERROR)  # the library's remarks on a broker that is away
        _run_all(asked)
    done = results.read(asked.results)
    print(results.table(done))
    return 0 if all(not one[what] for one in done for what in ("lost", "twice", "stuck", "left")) else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--results", type=Path, default=Path("faults-results.jsonl"))
    parser.add_argument("--table", action="store_true", help="print the table of the results that are there")
    parser.add_argument("--outage", type=float, default=30.0, help="seconds for which the broker is stopped")
    parser.add_argument(
        "--port", type=int, default=_PORT, help="twenty, from here or later on, are for broker and database"
    )
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"of {', '.join(KINDS)}")
    asked = parser.parse_args()
    if unknown := set(asked.kinds) - set(KINDS):
        parser.error(f"no such kind: {', '.join(sorted(unknown))}")
    return asked


def _run_all(asked: argparse.Namespace) -> None:
    done = {(one["kind"], one["seed"], one["round"]) for one in results.read(asked.results)}
    kinds = asked.kinds or list(KINDS)
    waiting = [(number, kind) for number in range(asked.rounds) for kind in kinds]
    waiting = [(number, kind) for number, kind in waiting if (kind, asked.seed, number) not in done]
    if not waiting:
        return
    with private_servers(asked.port) as servers:
        while waiting:
            with suppress(_Spoilt), a_stage(servers, Pace(outage=asked.outage)) as stage:
                while waiting:
                    number, kind = waiting.pop(0)
                    _run(stage, asked, kind, number)


def _run(stage: Stage, asked: argparse.Namespace, kind: str, number: int) -> None:
    try:
        result = stage.run(kind, asked.seed, number)
    except Exception as error:
        traceback.print_exc()
        result = Result(kind, asked.seed, number, "", "", 0, lost=(f"the case broke off: {error!r:.2000}",))
    document = result.document()
    if not result.clean:
        where = asked.results.with_suffix("") / f"{kind}-{asked.seed}-{number}"
        document["logs"] = keep_logs(stage.rig, where)
    results.append(asked.results, document)
    counted = {what: len(document[what]) for what in ("lost", "twice", "stuck", "left", "errors")}
    print(f"{kind} {number} after step {result.moment} {result.victim}: {counted}, {result.seconds:.0f} s", flush=True)
    if not result.clean:
        for what in ("lost", "twice", "stuck", "left"):
            print(*(f"    {what}: {one}" for one in document[what]), sep="\n", flush=True)
        raise _Spoilt


if __name__ == "__main__":
    sys.exit(main())
