"""Holds events, a line each on standard input, against the OCSF schema. Prints what is wrong, and how many were read.

The schema is the one of the event's own `metadata.version`, as its makers export it; the rules that JSON Schema has no
word for are below.
"""
import functools
import json
import sys

from jsonschema import Draft202012Validator
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

BITS = {"integer_t": 31, "long_t": 63, "timestamp_t": 63}


@functools.cache
def schema(version):
    return get_ocsf_schema(version=version)


@functools.cache
def class_of(version, uid):
    return next(one for one in schema(version)["classes"].values() if one["uid"] == uid)


@functools.cache
def validator(version, uid, profiles):
    made = OcsfJsonSchemaEmbedded(schema(version))
    name = class_of(version, uid)["name"]
    wanted = made.get_class_schema(name, list(profiles))
    Draft202012Validator.check_schema(wanted)
    return Draft202012Validator(wanted)


def walk(version, attributes, value, path):
    """Numbers that do not fit their type, and attributes that are to be used no more."""
    for name, inner in value.items():
        about = attributes.get(name)
        if about is None:
            continue
        at = f"{path}.{name}"
        if "@deprecated" in about:
            yield f"{at}: deprecated"
        for one in inner if about.get("is_array") else [inner]:
            if about["type"] == "object_t":
                below = schema(version)["objects"][about["object_type"]]["attributes"]
                yield from walk(version, below, one, at)
            elif about["type"] in BITS and not -(2 ** BITS[about["type"]]) <= one < 2 ** BITS[about["type"]]:
                yield f"{at}: {one} does not fit {about['type']}"


def faults(event):
    metadata = event["metadata"]
    version, uid = metadata["version"], event["class_uid"]
    about = class_of(version, uid)
    for profile in metadata["profiles"]:
        if profile not in about["profiles"]:
            yield f"{about['name']} has no profile {profile}"
    check = validator(version, uid, tuple(sorted(metadata["profiles"])))
    for error in check.iter_errors(event):
        yield f"{error.json_path}: {error.message}"
    yield from walk(version, about["attributes"], event, "$")
    if event["class_name"] != about["caption"]:
        yield f"class_name {event['class_name']!r}"
    if event["type_uid"] != uid * 100 + event["activity_id"]:
        yield "type_uid is of another class or activity"
    known = about["attributes"]["activity_id"]["enum"].get(str(event["activity_id"]), {})
    if event["activity_id"] != 99 and event["activity_name"] != known.get("caption"):
        yield f"activity_name {event['activity_name']!r}"


count = 0
for line in sys.stdin:
    count += 1
    event = json.loads(line)
    for fault in faults(event):
        print(f"line {count}, {event['metadata']['event_code']}: {fault}")
print(f"{count} events")
