"""The service of metrics-multi-process-pull as a Flask application would have it.

Run by gunicorn with gunicorn_config.py beside this file:

    PROMETHEUS_MULTIPROC_DIR=/dev/shm/shop gunicorn --config gunicorn_config.py flask_app:app
"""
import os
import time

from flask import Flask, Response, g, request
from prometheus_client import (
    CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

REQUESTS = Counter("num_requests", "Number of requests")
ERRORS = Counter("error_count", "Number of errors")
DURATION = Histogram(
    "http_server_request_duration_seconds",
    "Duration of HTTP server requests.",
    ["http_request_method", "http_response_status_code", "http_route", "url_scheme"],
    buckets=[0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0],
)
ACTIVE = Gauge(
    "http_server_active_requests",
    "Number of active HTTP server requests.",
    ["http_request_method", "url_scheme"],
    multiprocess_mode="livesum",
)

app = Flask(__name__)


def observed():
    return request.url_rule is not None and request.url_rule.rule == "/"


@app.before_request
def begin():
    if observed():
        g.began = time.perf_counter()
        ACTIVE.labels(request.method, "http").inc()


@app.after_request
def end(response):
    if observed():
        took = time.perf_counter() - g.began
        DURATION.labels(request.method, str(response.status_code), "/", "http").observe(took)
        ACTIVE.labels(request.method, "http").dec()
    return response


@app.get("/")
def index():
    REQUESTS.inc()
    return f"Hello from {os.getpid()}!"


@app.get("/metrics")
def metrics():
    registry = CollectorRegistry()
    MultiProcessCollector(registry)
    return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)
