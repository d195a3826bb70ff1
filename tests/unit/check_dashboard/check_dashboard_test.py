"""scripts/check_dashboard.py against a Prometheus that a test makes up, and the shipped dashboard's own sanity."""
import contextlib
import http.server
import importlib.util
import io
import json
import pathlib
import re
import subprocess
import tempfile
import threading
import unittest
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parents[3]
SPEC = importlib.util.spec_from_file_location("check_dashboard", ROOT / "scripts/check_dashboard.py")
check_dashboard = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(check_dashboard)


class FakePrometheus:
    """Answers a query by its text: "bad" is refused, "empty" has no series, "nan" only NaN, the rest one value."""

    def __init__(self):
        self.queries, self.rules = [], []
        fake = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                url = urllib.parse.urlparse(self.path)
                parameters = urllib.parse.parse_qs(url.query)
                query = (parameters.get("query") or parameters.get("match[]") or [""])[0]
                if query:
                    fake.queries.append(query)
                if url.path.endswith("/rules"):
                    body = json.dumps({"data": {"groups": [{"rules": fake.rules}]}}).encode()
                    self.send_response(200)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)
                    return
                if url.path.endswith("/values"):
                    status, data = 200, [] if "empty" in query else ["R1"]
                elif "bad" in query:
                    status, data = 400, None
                else:
                    value = "NaN" if "nan" in query else "1"
                    status, data = 200, {"result": [] if "empty" in query else [{"values": [[0, value]]}]}
                body = json.dumps({"data": data, "error": "parse error"}).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def dashboard(*expressions, variable="label_values(evilmoe_step, run)"):
    inner = [{"title": "p", "targets": [{"expr": e}]} for e in expressions]
    return {"panels": inner[:1] + [{"type": "row", "panels": inner[1:]}],
            "templating": {"list": [{"name": "run", "type": "query", "query": {"query": variable}}]}}


class CheckDashboardTest(unittest.TestCase):
    def setUp(self):
        self.prometheus = FakePrometheus()
        self.addCleanup(self.prometheus.close)

    def run_main(self, board, may_be_empty=None, url=None):
        with tempfile.TemporaryDirectory() as folder:
            paths = [pathlib.Path(folder) / "board.json", pathlib.Path(folder) / "empty.json"]
            paths[0].write_text(json.dumps(board))
            paths[1].write_text(json.dumps(may_be_empty or {}))
            out, err = io.StringIO(), io.StringIO()
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                code = check_dashboard.main(["--url", url or self.prometheus.url, "--run", "R1", "--dashboard",
                                             str(paths[0]), "--may-be-empty", str(paths[1]), "--end", "1000"])
        return code, out.getvalue(), err.getvalue()

    def test_all_queries_answered(self):
        code, out, _ = self.run_main(dashboard('a{run="$run"}', "rate(b[$__rate_interval])"))
        self.assertEqual((code, out), (0, "3 queries, 0 problems, 0 empty as the allow list permits\n"))
        self.assertEqual(self.prometheus.queries, ['a{run="R1"}', "rate(b[30s])", "evilmoe_step"])

    def test_refused_query(self):
        code, _, err = self.run_main(dashboard("bad("))
        self.assertEqual(code, 1)
        self.assertIn("p: bad(: HTTP 400", err)

    def test_empty_and_nan_results_are_problems(self):
        for expression in ("evilmoe_empty", "evilmoe_nan"):
            code, _, err = self.run_main(dashboard(expression))
            self.assertEqual(code, 1)
            self.assertIn(f"{expression}: no value in the window", err)

    def test_allow_list_excuses_an_empty_result_but_no_error(self):
        code, out, _ = self.run_main(dashboard("evilmoe_empty"), {"evilmoe_empty": "why"})
        self.assertEqual((code, out), (0, "2 queries, 0 problems, 1 empty as the allow list permits\n"))
        self.assertEqual(self.run_main(dashboard("bad(evilmoe_empty"), {"evilmoe_empty": "why"})[0], 1)

    def test_stale_allow_list_entry(self):
        code, _, err = self.run_main(dashboard("a"), {"evilmoe_gone": "why"})
        self.assertEqual(code, 1)
        self.assertIn("no query uses evilmoe_gone", err)

    def test_empty_variable(self):
        self.assertEqual(self.run_main(dashboard("a", variable="label_values(evilmoe_empty, run)"))[0], 1)

    def test_annotations_are_asked_too(self):
        board = dashboard("a") | {"annotations": {"list": [{"name": "x", "expr": 'evilmoe_empty{run="$compare"}'}]}}
        code, _, err = self.run_main(board)
        self.assertEqual(code, 1)
        self.assertIn('annotation x: evilmoe_empty{run="R1"}: no value', err)

    def test_a_variable_may_be_a_query(self):
        self.assertEqual(self.run_main(dashboard("a", variable="query_result(group by (run) (b))"))[0], 0)
        self.assertEqual(self.run_main(dashboard("a", variable="query_result(evilmoe_empty)"))[0], 1)

    def test_rules_of_the_server(self):
        good = [{"type": "recording", "name": "run:evilmoe_x:rate1m", "query": "rate(evilmoe_x[1m])", "health": "ok"},
                {"type": "alerting", "name": "A", "query": "run:evilmoe_x:rate1m > 0 and evilmoe_y", "health": "ok"}]
        bad = {"broken": [{**good[0], "health": "err", "lastError": "many-to-many"}],
               "never recorded": [{**good[0], "name": "run:evilmoe_empty:rate1m"}],
               "can never fire": [{**good[1], "query": "evilmoe_empty > 1"}]}
        self.prometheus.rules = good
        self.assertEqual(self.run_main(dashboard("a"))[0], 0)
        self.assertEqual(self.prometheus.queries[-3:], ["run:evilmoe_x:rate1m", "evilmoe_y", "run:evilmoe_x:rate1m"])
        for what, self.prometheus.rules in bad.items():
            self.assertEqual(self.run_main(dashboard("a"))[0], 1, what)

    def test_unreachable(self):
        self.prometheus.close()
        self.assertEqual(self.run_main(dashboard("a"))[0], 3)

    def test_unknown_variable_is_refused(self):
        with self.assertRaisesRegex(ValueError, "without a value"):
            check_dashboard.substitute("a{b=\"$other\"}", {"run": "R1"})


class ShippedDashboardTest(unittest.TestCase):
    def setUp(self):
        self.board = json.loads((ROOT / "deploy/grafana/dashboards/evil_moe.json").read_text())

    def test_is_what_its_generator_makes(self):
        done = subprocess.run([ROOT / "deploy/grafana/make_dashboard.py", "--check"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_every_query_selects_the_run(self):
        wanted = ('run="$run"', 'run="$compare"', 'run=~"$run|shared|"')
        for title, expression in [*check_dashboard.queries(self.board), *check_dashboard.annotation_queries(self.board)]:
            selectors = re.findall(r"(?:[a-z_]+:)?(?:evilmoe_[a-z0-9_]+|ALERTS)(?::[a-z0-9_]+)?(\{[^}]*\})?", expression)
            self.assertTrue(selectors and all(any(w in s for w in wanted) for s in selectors), f"{title}: {expression}")

    def test_a_training_metric_can_be_compared_where_it_says_so(self):
        compared = [e for _, e in check_dashboard.queries(self.board) if 'run="$compare"' in e]
        shown = [e for _, e in check_dashboard.queries(self.board)]
        self.assertGreater(len(compared), 20)
        for expression in compared:
            self.assertRegex(expression, r"\A[a-z0-9_:]+\{[^}]*\} offset \$age\Z")
            self.assertIn(expression.replace("$compare", "$run").replace(" offset $age", ""), shown)

    def test_recorded_series_are_those_of_the_rules(self):
        rules = (ROOT / "deploy/prometheus/rules.yml").read_text()
        for title, expression in check_dashboard.queries(self.board):
            for name in re.findall(r"\brun\w*:evilmoe_[a-z0-9_]+:\w+", expression):
                self.assertIn(f"record: {name}\n", rules, title)

    def test_panels_have_ids_of_their_own_and_do_not_overlap(self):
        panels = self.board["panels"]
        self.assertEqual(len({p["id"] for p in panels}), len(panels))
        cells = [(x, y) for p in panels for g in [p["gridPos"]]
                 for x in range(g["x"], g["x"] + g["w"]) for y in range(g["y"], g["y"] + g["h"])]
        self.assertEqual(len(cells), len(set(cells)))
        self.assertTrue(all(x < 24 for x, _ in cells))


if __name__ == "__main__":
    unittest.main()
