//! Core's own REST API, by way of the Supervisor. Its answers have no envelope.

use serde_json::{Map, Value};

use super::CliError;
use super::client::Request;
use super::context::Context;
use super::given::{Given, fill, query_value, segment};
use super::options::Assignment;
use super::tree::{Limit, Method, get, post};
use crate::policy::endpoints::Parameter;

pub(super) fn states(context: &Context, given: &Given<'_>) -> Result<(), CliError> {
    let path = match given.text("entity") {
        Some(entity) => format!(
            "/core/api/states/{}",
            segment(Parameter::Entity, "ENTITY", entity)?
        ),
        None => "/core/api/states".to_owned(),
    };
    read(context, given, path)
}

pub(super) fn services(context: &Context, given: &Given<'_>) -> Result<(), CliError> {
    read(context, given, "/core/api/services".to_owned())
}

pub(super) fn config(context: &Context, given: &Given<'_>) -> Result<(), CliError> {
    read(context, given, "/core/api/config".to_owned())
}

pub(super) fn history(context: &Context, given: &Given<'_>) -> Result<(), CliError> {
    let path = match given.text("start") {
        Some(start) => fill(
            get("/core/api/history/period/{timestamp}"),
            &[("--start", start)],
        )?,
        None => "/core/api/history/period".to_owned(),
    };
    let entity = query_value(given.text("entity").unwrap_or_default());
    let end = given
        .text("end")
        .map(|end| format!("&end_time={}", query_value(end)));
    read(
        context,
        given,
        format!(
            "{path}?filter_entity_id={entity}{}",
            end.unwrap_or_default()
        ),
    )
}

/// Text, as Core has it.
pub(super) fn error_log(context: &Context, given: &Given<'_>) -> Result<(), CliError> {
    let answer = context.ask(given, Request::get("/core/api/error_log"))?;
    context.printer.text(answer.text()?)
}

/// `core api call`: switches something in the house.
pub(super) fn call(context: &Context, given: &Given<'_>) -> Result<(), CliError> {
    let name = given.text("service").unwrap_or_default();
    let (domain, service) = name.split_once('.').ok_or_else(|| {
        CliError::usage(
            format!("'{name}' is no service"),
            "it is DOMAIN.SERVICE, as in light.turn_on",
        )
    })?;
    let template = post("/core/api/services/{domain}/{service}");
    let path = fill(template, &[("DOMAIN", domain), ("SERVICE", service)])?;
    let mut data = match given.text("data") {
        Some(text) => serde_json::from_str::<Map<String, Value>>(text)
            .map(Value::Object)
            .map_err(|_| {
                CliError::usage(
                    "--data is no JSON object",
                    "as in '{\"entity_id\": \"light.kitchen\"}'",
                )
            })?,
        None => Value::Object(Map::new()),
    };
    for text in given.many("assignments") {
        Assignment::parse(text)?.apply(&mut data, &Value::Null)?;
    }
    let request = Request::new(Method::Post, path)
        .within(Limit::Operation)
        .with(&data);
    let answer = context.ask(given, request)?;
    context.printer.plain(&answer)
}

fn read(context: &Context, given: &Given<'_>, path: String) -> Result<(), CliError> {
    let answer = context.ask(given, Request::get(path))?;
    context
        .printer
        .plain(&answer)
        .map_err(|error| context.helpful(given, error))
}
