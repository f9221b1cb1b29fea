"""Sends a metric of each type, a log record and a span with OpenTelemetry's own exporters."""

import logging
import sys

from opentelemetry import metrics, trace
from opentelemetry._logs import SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

if sys.argv[1] == "grpc":
    from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
else:
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

resource = Resource.create({"service.name": "python", "service.instance.id": "one"})
tracers = TracerProvider(resource=resource)
tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
loggers = LoggerProvider(resource=resource)
loggers.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))
exponential = View(instrument_type=Histogram, instrument_name="size",
                   aggregation=ExponentialBucketHistogramAggregation())
meters = MeterProvider(resource=resource, views=[exponential],
                       metric_readers=[PeriodicExportingMetricReader(OTLPMetricExporter())])
meter = meters.get_meter("test", "1.0")

with tracers.get_tracer("test").start_as_current_span("work", attributes={"n": 1}):
    meter.create_counter("requests", unit="{request}").add(3, {"k": "v"})
    meter.create_up_down_counter("active").add(2)
    meter.create_gauge("temperature", unit="Cel").set(21.5)
    meter.create_histogram("duration", unit="s").record(0.25)
    for value in range(1, 101):
        meter.create_histogram("size", unit="By").record(value)
    loggers.get_logger("test").emit(body="it works", severity_number=SeverityNumber.INFO)
for provider in (meters, loggers, tracers):
    provider.shutdown()
