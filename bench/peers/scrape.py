#!/usr/bin/env python3
"""Scrape directories as prometheus_client does, on request.

Reads one directory per line from stdin, does what the documented request handler
does (a new CollectorRegistry, a MultiProcessCollector, generate_latest()), and prints
the milliseconds it took. One process, so that its start is in no figure and the
caller can put its own measurements between.
"""
import sys
import time

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

for line in sys.stdin:
    start = time.perf_counter()
    registry = CollectorRegistry(support_collectors_without_names=True)
    MultiProcessCollector(registry, path=line.strip())
    generate_latest(registry)
    print((time.perf_counter() - start) * 1e3, flush=True)
