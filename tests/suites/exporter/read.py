"""Reads what was exported with other people's parsers and prints every number for comparison.

Usage: read.py prometheus|openmetrics|influx < text

One line per number: name, value (the bits of a float in hexadecimal, or `i` and an integer), then
the labels sorted by name as name=value, names and values in hexadecimal. Separated by tabs.
"""

import json
import struct
import sys

from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as read_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as read_prometheus


def show(name, value, labels):
    if isinstance(value, int):
        shown = f"i{value}"
    else:
        shown = struct.pack(">d", float(value)).hex()
    tags = [f"{k.encode().hex()}={v.encode().hex()}" for k, v in sorted(labels.items())]
    print("\t".join([name, shown, *tags]))


def families(parsed):
    for family in parsed:
        print(f"# {family.name} {family.type} {family.unit}")
        for sample in family.samples:
            show(sample.name, float(sample.value), sample.labels)


def influx(text):
    # InfluxDB prints floats that happen to be whole without a point, so integers and floats are
    # told apart by the types of the fields, which come first.
    types = {}
    for result in json.loads(text)["results"]:
        for series in result.get("series", []):
            for row in series["values"]:
                if series["columns"] == ["fieldKey", "fieldType"]:
                    types.setdefault(series["name"], {})[row[0]] = row[1]
                    continue
                named = dict(zip(series["columns"], row))
                tags = {k: v for k, v in series["tags"].items() if v != ""}
                for field, value in named.items():
                    if value is None:
                        continue
                    whole = field == "time" or types[series["name"]][field] == "integer"
                    value = int(value) if whole else float(value)
                    show(f"{series['name']}.{field}", value, tags)


def main():
    text = sys.stdin.buffer.read().decode()
    if sys.argv[1] == "prometheus":
        families(read_prometheus(text))
    elif sys.argv[1] == "openmetrics":
        families(read_openmetrics(text))
    else:
        influx(text)


main()
