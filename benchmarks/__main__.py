"""Prints figures as a table, raw ones below, and on the last line one JSON document with all of them."""

from __future__ import annotations

import argparse
import inspect
import json
import os
import sys
from importlib import import_module
from pathlib import Path

# What each measures, and on how many threads; None: the program decides itself.
BENCHMARKS: dict[str, tuple[str, int | None]] = {
    "inference": ("texts per second of the engine and of whole predictions, beside those of others", 1),
    "training": ("an epoch beside that of a plain re-implementation, accuracy, cost of a large vocabulary", 2),
    "qrnn": ("the recurrent pooling beside nn.LSTM and a loop of torch operations", None),
    "startup": ("loading, the first answer of a new process, memory of the service", None),
    "gpu": ("the Triton kernels beside torch and cuDNN; needs a CUDA device", None),
}
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS")


def main(arguments: list[str]) -> int:
    options = parse(arguments)
    threads = BENCHMARKS[options.benchmark][1]
    if threads:
        # the libraries read these when they are first imported, which is below
        os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    from benchmarks.data import DataMissingError, find_data
    from benchmarks.report import print_report

    try:
        run = import_module(f"benchmarks.{options.benchmark}").run
        # each program takes those of the options that mean something to it
        wanted = inspect.signature(run).parameters
        given = {"quick": options.quick, "folds": options.folds}
        chosen = {key: value for key, value in given.items() if key in wanted}
        if "data" in wanted:
            chosen["data"] = find_data(options.data)
        result = run(**chosen)
    except DataMissingError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2
    result = {"benchmark": options.benchmark, "quick": options.quick, **result}
    if not options.json_only:
        print_report(result)
    print(json.dumps(result))
    return 0


def parse(arguments: list[str]) -> argparse.Namespace:
    epilog = "\n".join(f"  {name:<10} {about}" for name, (about, _) in BENCHMARKS.items())
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("benchmark", choices=BENCHMARKS, metavar="|".join(BENCHMARKS))
    parser.add_argument("--quick", action="store_true", help="few rounds and small parts: shows that it runs, no more")
    parser.add_argument("--json-only", action="store_true", help="only the JSON line")
    parser.add_argument("--data", type=Path, help="folder of the data sets; else $TEXTCNN_DATA, else ../shared/data")
    parser.add_argument(
        "--folds", type=int, default=10, help="training: folds of MR to compare the accuracy on (of 10)"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
