#!/usr/bin/env python3
"""Measures prometheus_client in multiprocess mode, on request.

Reads one request per line from stdin and prints a number for each:

    scrape DIR                     milliseconds of a scrape, done like the documented request handler:
                                   a new CollectorRegistry, a MultiProcessCollector, generate_latest()
    counter.inc DIR                nanoseconds per update, over 20,000 updates, in a file in DIR;
    gauge.set DIR                  the same for the others
    histogram.observe DIR
    with_label_values(2).inc DIR

It is a long-running process, so no figure includes its start, and the caller can alternate with its own measurements.

With `--memory-of DIR` it scrapes once and prints the increase of its peak memory in KiB.
"""
import os
import sys
import time

os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", "/nonexistent")

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest  # noqa: E402
from prometheus_client.multiprocess import MultiProcessCollector  # noqa: E402

TIMES = 20_000
BOUNDS = (.005, .01, .025, .05, .1, .25, .5, 1.0, 2.5, 5.0, 10.0)

updates = {}


def scrape(directory):
    start = time.perf_counter()
    registry = CollectorRegistry(support_collectors_without_names=True)
    MultiProcessCollector(registry, path=directory)
    generate_latest(registry)
    return (time.perf_counter() - start) * 1e3


def make_updates(directory):
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = directory
    counter = Counter("counter", "A counter", registry=None)
    gauge = Gauge("gauge", "A gauge", registry=None)
    histogram = Histogram("histogram", "A histogram", registry=None, buckets=BOUNDS)
    lookups = Counter("lookups", "Lookups", ["method", "path"], registry=None)
    updates.update({
        "counter.inc": counter.inc,
        "gauge.set": lambda: gauge.set(2.0),
        "histogram.observe": lambda: histogram.observe(0.2),
        "with_label_values(2).inc": lambda: lookups.labels("GET", "/api/v1/resource/000000").inc(),
    })


def update(operation, directory):
    if not updates:
        make_updates(directory)
    call = updates[operation]
    start = time.perf_counter()
    for _ in range(TIMES):
        call()
    return (time.perf_counter() - start) * 1e9 / TIMES


def peak():
    # Not getrusage(2), whose maximum includes that of the process which started this one.
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))


if sys.argv[1:2] == ["--memory-of"]:
    before = peak()
    scrape(sys.argv[2])
    print(peak() - before)
    sys.exit()

for line in sys.stdin:
    operation, directory = line.strip().split(" ", 1)
    print(scrape(directory) if operation == "scrape" else update(operation, directory), flush=True)
