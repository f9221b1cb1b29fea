//! Resources, scopes and attributes, which all signals share.

use base64::{Engine, prelude::BASE64_STANDARD};
use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, EntityRef, InstrumentationScope, KeyValue, any_value::Value},
    resource::v1::Resource,
};

use super::Object;

/// Written even if there is none, as the Collector does.
pub(super) fn resource(resource: Option<&Resource>, object: &mut Object<'_>) {
    object.object("resource", |object| {
        if let Some(resource) = resource {
            object.list("attributes", &resource.attributes, attribute);
            object.int("droppedAttributesCount", resource.dropped_attributes_count);
            object.list("entityRefs", &resource.entity_refs, entity_ref);
        }
    });
}

/// Written even if there is none, as the Collector does.
pub(super) fn scope(scope: Option<&InstrumentationScope>, object: &mut Object<'_>) {
    object.object("scope", |object| {
        if let Some(scope) = scope {
            object.text("name", &scope.name);
            object.text("version", &scope.version);
            object.list("attributes", &scope.attributes, attribute);
            object.int("droppedAttributesCount", scope.dropped_attributes_count);
        }
    });
}

pub(super) fn attribute(attribute: &KeyValue, object: &mut Object<'_>) {
    object.text("key", &attribute.key);
    any_value("value", attribute.value.as_ref(), object);
}

pub(super) fn any_value(name: &str, value: Option<&AnyValue>, object: &mut Object<'_>) {
    object.object(name, |object| {
        if let Some(value) = value {
            value_fields(value, object);
        }
    });
}

/// Writes the field that is set, even if it has its default value.
fn value_fields(value: &AnyValue, object: &mut Object<'_>) {
    match &value.value {
        None => {}
        Some(Value::StringValue(text)) => object.always_text("stringValue", text),
        Some(Value::BoolValue(value)) => object.always_plain("boolValue", value),
        Some(Value::IntValue(value)) => object.always_long("intValue", value),
        Some(Value::DoubleValue(value)) => object.always_double("doubleValue", *value),
        Some(Value::BytesValue(bytes)) => {
            object.always_text("bytesValue", &BASE64_STANDARD.encode(bytes));
        }
        Some(Value::ArrayValue(array)) => object.object("arrayValue", |object| {
            object.list("values", &array.values, value_fields);
        }),
        Some(Value::KvlistValue(list)) => object.object("kvlistValue", |object| {
            object.list("values", &list.values, attribute);
        }),
        // Only profiles have a string table. In other signals the index is meaningless.
        Some(Value::StringValueStrindex(index)) => {
            object.always_plain("stringValueStrindex", index);
        }
    }
}

fn entity_ref(entity: &EntityRef, object: &mut Object<'_>) {
    object.text("schemaUrl", &entity.schema_url);
    object.text("type", &entity.r#type);
    object.strings("idKeys", &entity.id_keys);
    object.strings("descriptionKeys", &entity.description_keys);
}
