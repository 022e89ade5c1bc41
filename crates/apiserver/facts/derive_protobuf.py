#!/usr/bin/env python3
"""Derives protobuf.tsv beside it: the field numbers of the API's messages.

usage: derive_protobuf.py REVISION API APIMACHINERY APIEXTENSIONS AGGREGATOR   (git directories of the four Go modules,
and the branch or tag of the version whose API is served: release-1.35)

One message a line: its name (group.version.Kind), then its fields, each as number:name:type. A type is
[modifiers]base; base is string, bool, int, double, bytes, or a message. Modifiers: `[]` repeated, `{}` map from
strings, `*` a pointer (the wire has it only when JSON has it), `!` JSON has it even when it is zero, `^` inlined into
its parent in JSON.
"""
import pathlib
import re
import subprocess
import sys

revision, api, machinery, extensions, aggregator = sys.argv[1:6]
SOURCES = {
    "%s.%s" % (group, version): (api, ["%s/%s/types.go" % (group, version)])
    for group, versions in {
        "admissionregistration": ["v1"], "apidiscovery": ["v2", "v2beta1"], "apps": ["v1"], "authentication": ["v1"], "authorization": ["v1"], "autoscaling": ["v1", "v2"],
        "batch": ["v1"], "certificates": ["v1"], "coordination": ["v1"], "core": ["v1"], "discovery": ["v1"],
        "events": ["v1"], "flowcontrol": ["v1"], "networking": ["v1"], "node": ["v1"], "policy": ["v1"], "rbac": ["v1"],
        "resource": ["v1"], "scheduling": ["v1"], "storage": ["v1"],
    }.items()
    for version in versions
}
SOURCES["meta.v1"] = (machinery, ["pkg/apis/meta/v1/types.go", "pkg/apis/meta/v1/group_version.go"])
SOURCES["apiextensions.v1"] = (
    extensions, ["pkg/apis/apiextensions/v1/types.go", "pkg/apis/apiextensions/v1/types_jsonschema.go"])
SOURCES["apiregistration.v1"] = (aggregator, ["pkg/apis/apiregistration/v1/types.go"])
BASIC = {"string": "string", "bool": "bool", "int": "int", "int32": "int", "int64": "int", "uint32": "int",
         "uint64": "int", "uint8": "int", "float64": "double", "[]byte": "bytes", "byte": "int"}
SPECIAL = {"resource.Quantity": "quantity", "intstr.IntOrString": "intorstring", "metav1.Time": "time",
           "metav1.MicroTime": "microtime", "runtime.RawExtension": "raw", "metav1.FieldsV1": "fields",
           "metav1.Duration": "duration", "types.UID": "string", "types.NodeName": "string",
           "types.NamespacedName": "string"}
# Types whose JSON is not an object of their fields.
UNIONS = {"apiextensions.v1.JSON": "raw", "apiextensions.v1.JSONSchemaPropsOrBool": "schemaorbool",
          "apiextensions.v1.JSONSchemaPropsOrArray": "schemaorarray",
          "apiextensions.v1.JSONSchemaPropsOrStringArray": "schemaorstrings"}

named, structs = {}, {}
for package, (repository, paths) in SOURCES.items():
    text = "".join(subprocess.check_output(["git", "-C", repository, "show", revision + ":" + path], text=True) for path in paths)
    text = re.sub(r"//[^\n]*", "", text)
    for name, body in re.findall(r"^type (\w+) struct ?\{(\}|\n.*?^\})", text, re.M | re.S):
        if "%s.%s" % (package, name) not in UNIONS:
            structs["%s.%s" % (package, name)] = body
    for name, target in re.findall(r"^type (\w+) ([\w\[\]\.\*]+)\s*$", text, re.M):
        named["%s.%s" % (package, name)] = target
    for block in re.findall(r"^type \(\n(.*?)^\)", text, re.M | re.S):
        for name, target in re.findall(r"^\s*(\w+) ([\w\[\]\.\*]+)\s*$", block, re.M):
            named["%s.%s" % (package, name)] = target

IMPORTS = {"metav1": "meta.v1", "v1": "core.v1", "corev1": "core.v1", "core": "core.v1", "api": "core.v1", "apiv1": "core.v1"}


def resolve(package, go):
    """Returns (modifiers, base) of a Go type, or None for what no message holds."""
    if go.startswith("*"):
        inner = resolve(package, go[1:])
        return inner and ("*" + inner[0], inner[1])
    if go in BASIC:
        return "", BASIC[go]
    if go.startswith("[]"):
        inner = resolve(package, go[2:])
        return inner and ("[]", inner[1])
    match = re.match(r"map\[[\w\.]+\](.*)", go)
    if match:
        inner = resolve(package, match.group(1))
        return inner and ("{}", inner[1])
    if go in SPECIAL:
        return "", SPECIAL[go]
    full = go
    if "." in go:
        prefix, name = go.split(".")
        full = "%s.%s" % ("meta.v1" if prefix == "v1" and package.startswith("apidiscovery") else IMPORTS.get(prefix, prefix), name)
    else:
        full = "%s.%s" % (package, go)
        if package == "meta.v1" and "metav1." + go in SPECIAL:
            return "", SPECIAL["metav1." + go]
    if full in UNIONS:
        return "", UNIONS[full]
    if full in structs:
        return "", full
    if full in named:
        target = named[full]
        element = "%s.%s" % (full.rsplit(".", 1)[0], target[2:])
        if target.startswith("[]") and target != "[]byte" and element not in structs:
            return "", "items"
        return resolve(full.rsplit(".", 1)[0], target)
    return None


messages = {}
# Fields of API versions that are not served have no message here and are left out.
FIELD = re.compile(r"^\s*(?:(\w+)\s+)?([\w\.\*\[\]]+)\s+`([^`]*)`", re.M)
for name in sorted(structs):
    package = name.rsplit(".", 1)[0]
    fields = []
    for _, go, tags in FIELD.findall(structs[name]):
        number = re.search(r'protobuf:"\w+,(\d+),', tags)
        json = re.search(r'json:"([^"]*)"', tags)
        if not number or not json:
            continue
        shown, *options = json.group(1).split(",")
        resolved = resolve(package, go)
        if not resolved:
            print("no message for", name, go, file=sys.stderr)
            continue
        modifiers, base = resolved
        if "inline" in options or not shown:
            modifiers, shown = "^", "-"
        elif "omitempty" not in options and not modifiers.startswith("*"):
            modifiers = "!" + modifiers
        fields.append((int(number.group(1)), shown, modifiers + base))
    messages[name] = sorted(fields)
# A message without fields stays only if another has it as a field.
bases = {field[2].lstrip("*!^[]{}") for fields in messages.values() for field in fields}
lines = ["%s\t%s\n" % (name, " ".join("%d:%s:%s" % field for field in fields))
         for name, fields in messages.items() if fields or name in bases]
(pathlib.Path(__file__).parent / "protobuf.tsv").write_text("".join(lines))
