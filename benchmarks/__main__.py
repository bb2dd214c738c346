"""Prints figures as a table, raw ones below, and on the last line one JSON document with all of them."""

from __future__ import annotations

import argparse
import inspect
import json
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple


class Program(NamedTuple):
    """What it measures; on how many threads, where it does not decide that itself; whether it reads the data sets."""

    about: str
    threads: int | None = None
    data: bool = False


BENCHMARKS = {
    "inference": Program("the engine, and strings to labels, beside others", 1, data=True),
    "training": Program("an epoch, accuracy, large vocabularies, whole jobs", 2, data=True),
    "qrnn": Program("the recurrent pooling beside nn.LSTM and a loop of torch operations"),
    "explain": Program("evidence beside plain prediction: cost, exactness", 1, data=True),
    "startup": Program("loading, the first answer of a new process, memory of the service", data=True),
    "evaluate": Program("calibration, label sets, out-of-scope texts, the data doctor", data=True),
    "zoo": Program("every preset, depth, pre-training and transfer, tasks together", data=True),
    "wide": Program("n-grams beside the network: accuracy of each and both, and what both cost", data=True),
    "service": Program("the service under load; all rows, or those named after it", data=True),
    "gpu": Program("the Triton kernels beside torch and cuDNN; needs a CUDA device"),
}
ZOO_PARTS = ("presets", "depth", "start", "tasks", "typos", "scripts")
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS")


def main(arguments: list[str]) -> int:
    options = parse(arguments)
    program = BENCHMARKS[options.benchmark]
    if program.threads:
        # the libraries read these when they are first imported, which is below
        os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(program.threads)))
    from benchmarks.data import DataMissingError, find_data
    from benchmarks.report import print_report

    given: dict[str, Any] = {
        "quick": options.quick, "folds": options.folds, "part": options.part, "only": options.only,
        "chosen": options.rows, "seeds": options.seeds,
    }  # fmt: skip
    try:
        if program.data:
            given["data"] = find_data(options.data)
    except DataMissingError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2
    run = import_module(f"benchmarks.{options.benchmark}").run
    # each takes those of the options that mean something to it
    wanted = inspect.signature(run).parameters
    result = run(**{key: value for key, value in given.items() if key in wanted})
    result = {"benchmark": options.benchmark, "quick": options.quick, **result}
    if not options.json_only:
        print_report(result)
    print(json.dumps(result))
    return 0


def parse(arguments: list[str]) -> argparse.Namespace:
    epilog = "\n".join(f"  {name:<10} {program.about}" for name, program in BENCHMARKS.items())
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("benchmark", choices=BENCHMARKS, metavar="|".join(BENCHMARKS))
    parser.add_argument("rows", nargs="*", metavar="ROW", help="service: the rows to measure, by name; else all")
    parser.add_argument("--quick", action="store_true", help="few rounds and small parts: shows that it runs, no more")
    parser.add_argument("--json-only", action="store_true", help="only the JSON line")
    parser.add_argument("--data", type=Path, help="folder of the data sets; else $TEXTCNN_DATA, else ../shared/data")
    parser.add_argument("--folds", type=int, default=10, help="training, evaluate: folds of MR, of 10; 0: none")
    parser.add_argument("--seeds", type=int, default=3, help="zoo: trainings of each preset, whose mean is the figure")
    parser.add_argument("--part", default="", choices=ZOO_PARTS, help="zoo: one part of it")
    parser.add_argument("--only", default="", metavar="ROW", help="zoo: one row of the part, such as a preset")
    return parser.parse_intermixed_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
