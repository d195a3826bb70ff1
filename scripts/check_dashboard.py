#!/usr/bin/env python3
"""Runs every query of a Grafana dashboard against a Prometheus server: of panels, of variables and of annotations; and
looks at the rules that the server evaluates.

Fails (exit 1) on a query that the server refuses, on one that gives no value in the window although nothing says
that it may, on an entry of the allow list that no query uses, on a rule that the server cannot evaluate, on a recorded
series without a value, and on an alert that asks for a metric which nobody exports: it could never fire. Exit 3: the
server cannot be reached.
"""
import argparse
import json
import math
import pathlib
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
METRIC = re.compile(r"evilmoe_[a-z0-9_]+|ALERTS")
SERIES = re.compile(r"\b(?:run\w*:)?evilmoe_[a-z0-9_]+(?::\w+)?")
LABEL_VALUES = re.compile(r"label_values\((.+),\s*(\w+)\)\Z")
QUERY_RESULT = re.compile(r"query_result\((.+)\)\Z")


def queries(dashboard):
    """(title, expression) of every target of every panel, those inside rows included."""
    for panel in dashboard.get("panels", []):
        for target in panel.get("targets", []):
            yield panel.get("title", "?"), target["expr"]
        yield from queries(panel)


def annotation_queries(dashboard):
    """(title, expression) of every annotation."""
    for annotation in dashboard.get("annotations", {}).get("list", []):
        if "expr" in annotation:
            yield f"annotation {annotation['name']}", annotation["expr"]


def variable_queries(dashboard):
    """(title, selector, label) of every variable that asks the server for a label's values; label None: for the result of
    a query."""
    for variable in dashboard.get("templating", {}).get("list", []):
        if variable.get("type") == "query":
            query = variable["query"]
            query = query["query"] if isinstance(query, dict) else query
            title = f"variable {variable['name']}"
            if match := LABEL_VALUES.match(query):
                yield title, match[1], match[2]
            elif match := QUERY_RESULT.match(query):
                yield title, match[1], None
            else:
                raise ValueError(f"{title}: expected label_values(selector, label) or query_result(query), got {query}")


def substitute(expression, values):
    """Grafana's variables, longest name first; one that is left over is an error."""
    for name in sorted(values, key=len, reverse=True):
        expression = expression.replace("${%s}" % name, values[name]).replace("$" + name, values[name])
    if "$" in expression:
        raise ValueError(f"a variable without a value is left in: {expression}")
    return expression


class Server:
    def __init__(self, url, end, window_s, step_s):
        self.url, self.end, self.window_s, self.step_s = url.rstrip("/"), end, window_s, step_s

    def get(self, path, parameters):
        request = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:  # Prometheus explains a bad query in the body
            body = error.read().decode(errors="replace")
            raise ValueError(f"HTTP {error.code}: {body[:300]}") from error

    def span(self):
        return {"start": self.end - self.window_s, "end": self.end}

    def num_values(self, expression):
        data = self.get("query_range", {"query": expression, "step": self.step_s, **self.span()})
        values = [float(value) for series in data["result"] for _, value in series["values"]]
        return sum(not math.isnan(value) for value in values)

    def rules(self):
        return [rule for group in self.get("rules", {})["groups"] for rule in group["rules"]]

    def num_label_values(self, selector, label):
        return len(self.get(f"label/{label}/values", {"match[]": selector, **self.span()}))


def check_rules(server, judge, problems):
    """The rules of the server itself; one that has none is fine."""
    for rule in server.rules():
        if rule.get("health") not in ("ok", "unknown") or rule.get("lastError"):
            problems.append(f"rule {rule['name']}: {rule.get('health')}: {rule.get('lastError')}")
        if rule["type"] == "recording":
            judge(f"rule {rule['name']}", rule["name"], lambda name=rule["name"]: server.num_values(name))
            continue
        for metric in sorted(set(SERIES.findall(rule["query"]))):
            judge(f"alert {rule['name']}", metric, lambda name=metric: server.num_values(name))


def check(dashboard, server, values, may_be_empty):
    """Returns (problems, number of queries, number of queries that were empty and may be)."""
    problems, count, empty, used = [], 0, 0, set()

    def judge(title, expression, ask):
        nonlocal count, empty
        count += 1
        names = set(METRIC.findall(expression))
        excused = {name for name in may_be_empty if name in names}
        used.update(excused)
        try:
            if ask() > 0:
                return
        except ValueError as error:
            problems.append(f"{title}: {expression}: {error}")
            return
        if excused:
            empty += 1
        else:
            problems.append(f"{title}: {expression}: no value in the window, expected at least one; "
                            "is the metric exported, are its labels right?")

    for title, raw in queries(dashboard):
        expression = substitute(raw, values)
        judge(title, expression, lambda e=expression: server.num_values(e))
    for title, raw in annotation_queries(dashboard):
        expression = substitute(raw, values)
        judge(title, expression, lambda e=expression: server.num_values(e))
    for title, raw, label in variable_queries(dashboard):
        expression = substitute(raw, values)
        judge(title, expression, lambda e=expression, l=label: server.num_values(e) if l is None
              else server.num_label_values(e, l))
    check_rules(server, judge, problems)
    problems += [f"allow list: no query uses {name}; remove it" for name in sorted(set(may_be_empty) - used)]
    if count == 0:
        problems.append("the dashboard has no query")
    return problems, count, empty


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", required=True, help="of the Prometheus server, like http://127.0.0.1:9090")
    parser.add_argument("--run", required=True, help="value of the label run")
    parser.add_argument("--compare", help="value of $compare (default: the run itself)")
    parser.add_argument("--dashboard", type=pathlib.Path, default=ROOT / "deploy/grafana/dashboards/evil_moe.json")
    parser.add_argument("--may-be-empty", type=pathlib.Path, default=ROOT / "deploy/grafana/may_be_empty.json",
                        help="JSON object: metric that a short run may lack, and why")
    parser.add_argument("--rate-interval", default="30s", help="for $__rate_interval (default %(default)s)")
    parser.add_argument("--window", type=float, default=900, help="seconds to look back (default %(default)s)")
    parser.add_argument("--step", type=float, default=2, help="seconds between two points (default %(default)s)")
    parser.add_argument("--end", type=float, default=None, help="end of the window, Unix seconds (default: now)")
    options = parser.parse_args(arguments)
    values = {"run": options.run, "compare": options.compare or options.run, "age": "1s", "__rate_interval": options.rate_interval, "__interval": f"{options.step:g}s",
              "__range": f"{options.window:g}s"}
    server = Server(options.url, time.time() if options.end is None else options.end, options.window, options.step)
    try:
        problems, count, empty = check(json.loads(options.dashboard.read_text()), server, values,
                                       json.loads(options.may_be_empty.read_text()))
    except (urllib.error.URLError, OSError) as error:
        print(f"check_dashboard: {options.url}: {error}; is Prometheus running there?", file=sys.stderr)
        return 3
    for problem in problems:
        print(f"check_dashboard: {problem}", file=sys.stderr)
    print(f"{count} queries, {len(problems)} problems, {empty} empty as the allow list permits")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
