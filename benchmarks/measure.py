"""Measures one case and prints a line of JSON: `python -m benchmarks.measure CASE FOLDER`."""

import json
import resource
import statistics
import sys
import time

from benchmarks.cases import CASES

WARM_UPS = 3  # calls that compile


def matrix_product():
    """The function that makes one unit of work."""
    import tensorflow as tf

    matrix = tf.random.stateless_normal((3000, 3000), seed=(0, 0))
    return lambda: tf.linalg.matmul(matrix, matrix).numpy()


def seconds(function):
    """Wall-clock seconds of one call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def measure(case, folder):
    """Medians over pairs of one unit and one call, so that both meet the same machine."""
    function, unit = case.prepare(folder), matrix_product()
    for _ in range(WARM_UPS):
        function()
        unit()
    pairs = [(seconds(unit), seconds(function)) for _ in range(case.repetitions)]
    return {
        "units": statistics.median(call / product for product, call in pairs),
        "seconds": statistics.median(call for _, call in pairs),
        "unit_seconds": statistics.median(product for product, _ in pairs),
        "peak_megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


if __name__ == "__main__":
    print(json.dumps(measure(CASES[sys.argv[1]], sys.argv[2])))
