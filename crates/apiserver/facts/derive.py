#!/usr/bin/env python3
"""Derives the facts files beside it from published API documents.

usage: derive.py DIR   (DIR holds kubernetes-openapi.json, kubernetes-discovery.json, tables.json)

resources.tsv  one served resource a line, in discovery order:
               group, version, plural, kind, singular, scope, verbs, short names, categories, definition, subresources
               (a subresource is name=group/version/Kind:verb+verb)
schemas.tsv    one schema definition a line, sorted by name: name, schema as JSON
columns.tsv    one table column a line: group/version/plural, column, type, format, priority
"""
import json
import pathlib
import sys

source, here = pathlib.Path(sys.argv[1]), pathlib.Path(__file__).parent
openapi = json.loads((source / "kubernetes-openapi.json").read_text())
discovery = json.loads((source / "kubernetes-discovery.json").read_text())
tables = json.loads((source / "tables.json").read_text())

definitions = {}
for name, schema in openapi["schemas"].items():
    kinds = schema.get("x-kubernetes-group-version-kind", [])
    if len(kinds) == 1:
        definitions[(kinds[0]["group"], kinds[0]["version"], kinds[0]["kind"])] = name


def dash(items, by=","):
    return by.join(items) or "-"


rows, served = [], set()
for group in discovery["api"] + discovery["apis"]:
    name = group["metadata"].get("name", "")
    for version in group["versions"]:
        for r in version["resources"]:
            def gvk(kind):
                own = not kind["group"] and not kind["version"]
                g, v = (name, version["version"]) if own else (kind["group"], kind["version"])
                return g, v, kind["kind"]
            key = gvk(r["responseKind"])
            subs = ["%s=%s/%s/%s:%s" % (s["subresource"], *gvk(s["responseKind"]), "+".join(s["verbs"]))
                    for s in r.get("subresources", [])]
            served.add("%s/%s/%s" % (name, version["version"], r["resource"]))
            rows.append([name or "-", version["version"], r["resource"], key[2], r["singularResource"], r["scope"],
                         dash(r["verbs"]), dash(r.get("shortNames", [])), dash(r.get("categories", [])),
                         definitions.get(key, "-"), dash(subs)])
(here / "resources.tsv").write_text("".join("\t".join(r) + "\n" for r in rows))

compact = lambda v: json.dumps(v, separators=(",", ":"), sort_keys=True)
(here / "schemas.tsv").write_text("".join("%s\t%s\n" % (n, compact(s)) for n, s in sorted(openapi["schemas"].items())))

lines = []
for resource, table in sorted(tables.items()):
    key = resource if resource.count("/") == 2 else "/" + resource
    if key not in served:
        continue
    for c in table["columns"]:
        lines.append("\t".join([key, c["name"], c["type"], c["format"] or "-", str(c["priority"])]))
(here / "columns.tsv").write_text("".join(line + "\n" for line in lines))
