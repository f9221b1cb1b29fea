"""Python's client, doing what stdin says: one JSON object a line, one line as answer.

{"do": "write", "directory": D, "workers": [{"identifier": I, "metrics": [METRIC, ...]}, ...]}
{"do": "scrape", "directory": D}          answers with the text, as JSON
{"do": "try_scrape", "directory": D}      answers with the text, or null if the scrape fails
{"do": "parse", "text": T}                reads OpenMetrics; answers with [[NAME, TYPE, [[SAMPLE, LABELS, VALUE, EXEMPLAR?], ...]], ...]
{"do": "load", "directory": D, "identifier": I, "name": N, "times": T}
{"do": "wipe", "directory": D}            what a Flask application does when it starts

METRIC: {"type", "name", "help", "labels": [NAME...], "mode", "bounds", "series": [[VALUES, [NUMBER...]], ...]}
A number is its repr, so that infinities and NaN survive JSON.
"""
import glob
import json
import os
import sys

os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", "/nonexistent")

from prometheus_client import (  # noqa: E402
    CollectorRegistry, Counter, Gauge, Histogram, Summary, generate_latest, values,
)
from prometheus_client.multiprocess import MultiProcessCollector  # noqa: E402
from prometheus_client.openmetrics.parser import text_string_to_metric_families  # noqa: E402


def use(directory, identifier):
    # A worker's files stay open until its process ends. This process goes on as the next worker.
    values.close_all_multiprocess_files()
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = directory
    values.ValueClass = values.MultiProcessValue(lambda: identifier)


def create(metric):
    common = dict(
        name=metric["name"], documentation=metric["help"], labelnames=metric["labels"],
        registry=CollectorRegistry(),
    )
    if metric["type"] == "counter":
        return Counter(**common), "inc"
    if metric["type"] == "gauge":
        return Gauge(**common, multiprocess_mode=metric["mode"]), "set"
    if metric["type"] == "histogram":
        return Histogram(**common, buckets=[float(b) for b in metric["bounds"]]), "observe"
    return Summary(**common), "observe"


def write(request):
    for worker in request["workers"]:
        use(request["directory"], worker["identifier"])
        for metric in worker["metrics"]:
            parent, update = create(metric)
            for label_values, numbers in metric["series"]:
                child = parent.labels(*label_values) if metric["labels"] else parent
                for number in numbers:
                    getattr(child, update)(float(number))
    return "ok"


def scrape(request):
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=request["directory"])
    return json.dumps(generate_latest(registry).decode())


def try_scrape(request):
    try:
        return scrape(request)
    except Exception:  # Each kind of bad file has an exception of its own.
        return "null"


def parse(request):
    def sample(s):
        exemplar = [[s.exemplar.labels, s.exemplar.value]] if s.exemplar else []
        return [s.name, s.labels, s.value, *exemplar]

    families = text_string_to_metric_families(request["text"])
    return json.dumps([
        [family.name, family.type, [sample(s) for s in family.samples]] for family in families
    ])


def load(request):
    use(request["directory"], request["identifier"])
    counter = Counter(request["name"], "A metric", registry=CollectorRegistry())
    series = Counter(request["name"] + "_by_value", "A metric", ["value"], registry=CollectorRegistry())
    for index in range(request["times"]):
        counter.inc()
        series.labels(str(index % 100)).inc()
    return "ok"


def wipe(request):
    for path in glob.glob(os.path.join(request["directory"], "*.db")):
        os.remove(path)
    return "ok"


for line in sys.stdin:
    request = json.loads(line)
    todo = {"write": write, "scrape": scrape, "try_scrape": try_scrape, "parse": parse, "load": load, "wipe": wipe}
    print(todo[request["do"]](request), flush=True)
