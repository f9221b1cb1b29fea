"""Flask counterparts of the scenarios, for gunicorn, without simulated errors.

SCENARIO selects the scenario. The application does the same work per request, with the usual Python libraries:
prometheus_client, or the OpenTelemetry SDK with OTLP over HTTP. `bare` has no telemetry.

    SCENARIO=metrics-push gunicorn -w 1 -k gthread --threads 4 -b 127.0.0.1:5200 flask_app:app
"""
import logging
import os
import time

from flask import Flask, Response, g, request

SCENARIO = os.environ["SCENARIO"]
BOUNDS = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0]

app = Flask(__name__)


def measure(before, after):
    """Calls before() and after(status, seconds) around each request, but not around a scrape."""

    @app.before_request
    def begin():
        if request.path == "/":
            g.began = time.perf_counter()
            before()

    @app.after_request
    def end(response):
        if request.path == "/":
            after(response.status_code, time.perf_counter() - g.began)
        return response


def with_prometheus(multiprocess):
    from prometheus_client import (
        CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, generate_latest,
    )

    requests = Counter("num_requests", "Number of requests")
    duration = Histogram(
        "http_server_request_duration_seconds", "Duration of HTTP server requests.",
        ["http_request_method", "http_response_status_code", "http_route", "url_scheme"], buckets=BOUNDS,
    )
    active = Gauge(
        "http_server_active_requests", "Number of active HTTP server requests.",
        ["http_request_method", "url_scheme"], multiprocess_mode="livesum",
    )

    def before():
        requests.inc()
        active.labels(request.method, "http").inc()

    def after(status, seconds):
        duration.labels(request.method, str(status), "/", "http").observe(seconds)
        active.labels(request.method, "http").dec()

    @app.get("/metrics")
    def metrics():
        registry = REGISTRY
        if multiprocess:
            from prometheus_client.multiprocess import MultiProcessCollector
            registry = CollectorRegistry()
            MultiProcessCollector(registry)
        return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)

    measure(before, after)


def with_pushed_metrics():
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

    provider = MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter())])
    meter = provider.get_meter("bench")
    requests = meter.create_counter("num_requests", description="Number of requests")
    active = meter.create_up_down_counter("http.server.active_requests")
    duration = meter.create_histogram(
        "http.server.request.duration", unit="s", explicit_bucket_boundaries_advisory=BOUNDS,
    )

    def before():
        requests.add(1)
        active.add(1, {"http.request.method": request.method, "url.scheme": "http"})

    def after(status, seconds):
        active.add(-1, {"http.request.method": request.method, "url.scheme": "http"})
        duration.record(seconds, {
            "http.request.method": request.method, "http.route": "/",
            "http.response.status_code": status, "url.scheme": "http",
        })

    measure(before, after)


def with_logs():
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor

    provider = LoggerProvider()
    provider.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))
    # Same as the measured scenario: the console logs at `warn`, and all records are exported.
    console = logging.StreamHandler()
    console.setLevel(logging.WARNING)
    logging.basicConfig(level=logging.INFO, handlers=[console, LoggingHandler(logger_provider=provider)])
    log = logging.getLogger("bench")

    def before():
        log.info("a request for %s", request.path)

    def after(status, seconds):
        log.info("%s %s %s", request.method, request.path, status, extra={
            "http.request.method": request.method, "http.response.status_code": status, "seconds": seconds,
        })

    measure(before, after)


def with_traces():
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    tracer = provider.get_tracer("bench")

    def before():
        g.span = tracer.start_span("GET /", kind=trace.SpanKind.SERVER, attributes={
            "http.request.method": request.method, "http.route": "/", "url.path": request.path, "url.scheme": "http",
        })

    def after(status, _seconds):
        g.span.set_attribute("http.response.status_code", status)
        g.span.end()

    measure(before, after)


{
    "bare": lambda: None,
    "logs": with_logs,
    "metrics-push": with_pushed_metrics,
    "metrics-single-process-pull": lambda: with_prometheus(multiprocess=False),
    "metrics-multi-process-pull": lambda: with_prometheus(multiprocess=True),
    "traces": with_traces,
}[SCENARIO]()


@app.get("/")
def hello():
    return f"Hello from {os.getpid()}!"
