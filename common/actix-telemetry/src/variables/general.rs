//! The variables that are not of the OTLP exporter.

use std::time::Duration;

use super::{Bad, Show, Valid, Value, otlp::timeout};
use crate::{
    env::Env,
    logger::length_limit,
    metrics::{is_exponential, read_interval, temporality},
    observe::{Method, known},
    otlp::{Batch, Exporter, Signal},
    propagation::Chosen,
    resource::attributes,
    traces::{read_sampler, read_span_limits},
};

pub(super) const GENERAL: &[(&str, Show, &[Value])] = &[
    (
        "OTEL_SDK_DISABLED",
        |env| env.flag("OTEL_SDK_DISABLED").to_string(),
        &[
            Valid("true", "true"),
            Valid("TRUE", "true"),
            Valid("False", "false"),
            Bad("1", "false"),
            Bad("yes", "false"),
        ],
    ),
    (
        "OTEL_SERVICE_NAME",
        |env| resource(env, "service.name"),
        &[Valid("shop 2", "shop 2")],
    ),
    (
        "OTEL_RESOURCE_ATTRIBUTES",
        |env| resource(env, "a.b"),
        &[
            Valid("a.b=1", "1"),
            Valid("c=2, a.b = x%20y%2C ,", "x y,"),
            Valid("a.b=1=2", "1=2"),
            Bad("a.b=1,c", ""),
            Bad("a.b=%ff", ""),
        ],
    ),
    (
        "OTEL_PROPAGATORS",
        |env| format!("{:?}", Chosen::read(env)),
        &[
            Valid(
                "tracecontext",
                "Chosen { trace_context: true, baggage: false }",
            ),
            Valid(
                "Baggage,TraceContext, baggage",
                "Chosen { trace_context: true, baggage: true }",
            ),
            Valid(
                "tracecontext,",
                "Chosen { trace_context: true, baggage: false }",
            ),
            Valid("NONE", "Chosen { trace_context: false, baggage: false }"),
            Bad(
                "tracecontext,b3",
                "Chosen { trace_context: true, baggage: false }",
            ),
            Bad("b3", "Chosen { trace_context: true, baggage: true }"),
        ],
    ),
    (
        "OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS",
        |env| {
            let names = known(env).into_iter().map(Method::as_str);
            names.collect::<Vec<_>>().join(",")
        },
        &[
            Valid("PUT, GET,", "GET,PUT"),
            Bad("GET,get", "GET"),
            Bad("GET,PROPFIND", "GET"),
        ],
    ),
    (
        "OTEL_TRACES_SAMPLER",
        |env| format!("{:?}", read_sampler(env)),
        &[
            Valid("always_on", "AlwaysOn"),
            Valid("Always_OFF", "AlwaysOff"),
            Valid("traceidratio", "TraceIdRatioBased(1.0)"),
            Valid("parentbased_always_on", "ParentBased(AlwaysOn)"),
            Valid("parentbased_always_off", "ParentBased(AlwaysOff)"),
            Valid(
                "ParentBased_TraceIdRatio",
                "ParentBased(TraceIdRatioBased(1.0))",
            ),
            Bad("jaeger_remote", "ParentBased(AlwaysOn)"),
            Bad("parentbased_jaeger_remote", "ParentBased(AlwaysOn)"),
            Bad("xray", "ParentBased(AlwaysOn)"),
        ],
    ),
    (
        "OTEL_METRICS_EXPORTER",
        |env| exporters(env, Signal::Metrics),
        EXPORTERS,
    ),
    (
        "OTEL_LOGS_EXPORTER",
        |env| exporters(env, Signal::Logs),
        EXPORTERS,
    ),
    (
        "OTEL_TRACES_EXPORTER",
        |env| exporters(env, Signal::Traces),
        EXPORTERS,
    ),
    (
        "OTEL_BSP_SCHEDULE_DELAY",
        |env| batch(env, "OTEL_BSP"),
        DELAY,
    ),
    (
        "OTEL_BLRP_SCHEDULE_DELAY",
        |env| batch(env, "OTEL_BLRP"),
        DELAY,
    ),
    (
        "OTEL_BSP_MAX_QUEUE_SIZE",
        |env| batch(env, "OTEL_BSP"),
        QUEUE,
    ),
    (
        "OTEL_BLRP_MAX_QUEUE_SIZE",
        |env| batch(env, "OTEL_BLRP"),
        QUEUE,
    ),
    (
        "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
        |env| batch(env, "OTEL_BSP"),
        SIZE,
    ),
    (
        "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE",
        |env| batch(env, "OTEL_BLRP"),
        SIZE,
    ),
    (
        "OTEL_BSP_EXPORT_TIMEOUT",
        |env| timeout(env, Signal::Traces),
        TIMEOUT,
    ),
    (
        "OTEL_BLRP_EXPORT_TIMEOUT",
        |env| timeout(env, Signal::Logs),
        TIMEOUT,
    ),
    (
        "OTEL_METRIC_EXPORT_TIMEOUT",
        |env| timeout(env, Signal::Metrics),
        TIMEOUT,
    ),
    (
        "OTEL_METRIC_EXPORT_INTERVAL",
        |env| format!("{:?}", read_interval(env, Duration::from_secs(60))),
        &[
            Valid("500", "500ms"),
            Bad("0", "60s"),
            Bad("-1", "60s"),
            Bad("1m", "60s"),
        ],
    ),
    ("OTEL_ATTRIBUTE_COUNT_LIMIT", |env| limits(env, 0), COUNT),
    (
        "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT",
        |env| limits(env, 0),
        COUNT,
    ),
    ("OTEL_SPAN_EVENT_COUNT_LIMIT", |env| limits(env, 1), COUNT),
    ("OTEL_SPAN_LINK_COUNT_LIMIT", |env| limits(env, 2), COUNT),
    (
        "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT",
        |env| limits(env, 3),
        COUNT,
    ),
    (
        "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT",
        |env| limits(env, 4),
        COUNT,
    ),
    (
        "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT",
        |env| length_limit(env).to_string(),
        LENGTH,
    ),
    (
        "OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT",
        |env| length_limit(env).to_string(),
        LENGTH,
    ),
    (
        "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
        |env| format!("{:?}", temporality(env)),
        &[
            Valid("cumulative", "Cumulative"),
            Valid("DELTA", "Delta"),
            Valid("LowMemory", "LowMemory"),
            Bad("low", "Cumulative"),
        ],
    ),
    (
        "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
        |env| is_exponential(env).to_string(),
        &[
            Valid("explicit_bucket_histogram", "false"),
            Valid("BASE2_exponential_bucket_histogram", "true"),
            Bad("exponential", "false"),
        ],
    ),
];

const EXPORTERS: &[Value] = &[
    Valid("otlp", "otlp"),
    Valid("OTLP, Console", "otlp,console"),
    Valid("console,console,", "console"),
    Valid("None", ""),
    Bad("zipkin", "otlp"),
    Bad("zipkin,console", "console"),
    Bad("prometheus", ""),
    Bad("prometheus,otlp", "otlp"),
];
const DELAY: &[Value] = &[
    Valid("0", "2048/512/1ms"),
    Valid("250", "2048/512/250ms"),
    Bad("-1", "2048/512/1s"),
    Bad("1s", "2048/512/1s"),
];
const QUEUE: &[Value] = &[
    Valid("4096", "4096/512/1s"),
    Valid("10", "10/10/1s"),
    Bad("0", "2048/512/1s"),
    Bad("0x10", "2048/512/1s"),
    Bad("99999999999999999999999", "2048/512/1s"),
];
const SIZE: &[Value] = &[
    Valid("2048", "2048/2048/1s"),
    Bad("2049", "2048/512/1s"),
    Bad("0", "2048/512/1s"),
    Bad("512.0", "2048/512/1s"),
];
const TIMEOUT: &[Value] = &[
    Valid("700", "700ms"),
    // The timeout of the exporter still counts.
    Valid("0", "10s"),
    Valid("20000", "10s"),
    Bad("-1", "10s"),
    Bad("1s", "10s"),
];
const COUNT: &[Value] = &[
    Valid("0", "0"),
    Valid("7", "7"),
    Bad("-1", "128"),
    Bad("4294967296", "128"),
    Bad("few", "128"),
];
const LENGTH: &[Value] = &[
    Valid("0", "0"),
    Valid("31", "31"),
    Bad("-1", "4096"),
    Bad("1k", "4096"),
];

fn resource(env: Env<'_>, name: &str) -> String {
    let attributes = attributes(env, "shop", "1.2.3", false);
    let found = attributes.iter().rfind(|found| found.key.as_str() == name);
    found
        .map(|found| found.value.to_string())
        .unwrap_or_default()
}

fn exporters(env: Env<'_>, signal: Signal) -> String {
    let names = Exporter::all(env, signal)
        .into_iter()
        .map(|exporter| match exporter {
            Exporter::Otlp(_) => "otlp",
            Exporter::Console => "console",
        });
    names.collect::<Vec<_>>().join(",")
}

fn batch(env: Env<'_>, prefix: &str) -> String {
    let batch = Batch::read(env, prefix);
    format!("{}/{}/{:?}", batch.queue, batch.size, batch.delay)
}

fn limits(env: Env<'_>, which: usize) -> String {
    let limits = read_span_limits(env);
    let all = [
        limits.max_attributes_per_span,
        limits.max_events_per_span,
        limits.max_links_per_span,
        limits.max_attributes_per_event,
        limits.max_attributes_per_link,
    ];
    all[which].to_string()
}
