"""scripts/render_dashboard draws a panel of every type that the shipped dashboard has, from a Prometheus that the test makes
up. Skips where matplotlib is not installed (scripts/watch_tools/install)."""
import contextlib
import http.server
import importlib.machinery
import importlib.util
import io
import json
import pathlib
import sys
import tempfile
import threading
import unittest
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "scripts/watch_tools"))
import environment  # noqa: E402

environment.enter()
END = 1_700_000_000


def load(name):
    loader = importlib.machinery.SourceFileLoader(name, str(ROOT / "scripts" / name))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(name, loader))
    loader.exec_module(module)
    return module


class Handler(http.server.BaseHTTPRequestHandler):
    """Two buckets for a histogram, a value and one that is no number for the rest; nothing of what has "lost" in it."""

    def do_GET(self):
        query = urllib.parse.parse_qs(urllib.parse.urlparse(self.path).query)["query"][0]
        points = [[END - 60, "0.25"], [END - 55, "0.5"], [END - 50, "NaN"], [END, "1"]]
        series = [{"metric": {"le": le, "mode": f"m{le}"}, "values": points} for le in ("0.5", "1", "+Inf")]
        body = json.dumps({"data": {"result": [] if "lost" in query else series}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


@unittest.skipUnless(importlib.util.find_spec("matplotlib"), "matplotlib is not installed; run scripts/watch_tools/install")
class RenderDashboardTest(unittest.TestCase):
    def setUp(self):
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)
        self.render = load("render_dashboard")

    def run_main(self, folder, url=None):
        out = io.StringIO()
        board = json.loads((ROOT / "deploy/grafana/dashboards/evil_moe.json").read_text())
        self.panels = list({panel["type"]: panel for panel in board["panels"]}.values())
        file = pathlib.Path(folder) / "board.json"
        file.write_text(json.dumps(board | {"panels": self.panels}))
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            code = self.render.main(["--url", url or f"http://127.0.0.1:{self.server.server_port}", "--run", "R",
                                     "--dashboard", str(file), "--out", str(folder), "--end", str(END)])
        return code, out.getvalue()

    def test_a_panel_becomes_a_picture(self):
        with tempfile.TemporaryDirectory() as folder:
            code, said = self.run_main(folder)
            pictures = sorted(pathlib.Path(folder).glob("*.png"))
            self.assertEqual(code, 0, said)
            self.assertTrue(all(p.read_bytes().startswith(b"\x89PNG") and p.stat().st_size > 1000 for p in pictures))
        numbers = {int(p.name[:2]) for p in pictures if p.name != "dashboard.png"}
        self.assertEqual(numbers, {p["id"] for p in self.panels if p["type"] != "row"})
        self.assertEqual({p["type"] for p in self.panels}, {"row", "timeseries", "heatmap", "stat", "bargauge"})
        self.assertIn("panels without data: none", said)

    def test_a_value_is_shown_in_its_unit_and_colour(self):
        self.assertEqual(self.render.shown(0.625, "percentunit"), "62.5 %")
        self.assertEqual(self.render.shown(1.5, "s"), "1.5 s")
        self.assertEqual(self.render.shown(float("nan"), "short"), "no data")
        steps = [{"color": "green", "value": None}, {"color": "red", "value": 0.25}]
        panel = {"fieldConfig": {"defaults": {"thresholds": {"steps": steps}}}}
        self.assertEqual(self.render.threshold_colour(panel, 0.2), self.render.COLOURS["green"])
        self.assertEqual(self.render.threshold_colour(panel, 0.25), self.render.COLOURS["red"])

    def test_unreachable(self):
        with tempfile.TemporaryDirectory() as folder:
            self.assertEqual(self.run_main(folder, "http://127.0.0.1:1")[0], 3)


if __name__ == "__main__":
    unittest.main()
