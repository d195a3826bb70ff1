"""Reports of a real run and of a real sweep in a browser without a network: what they show is what the runs' files say."""
import contextlib
import json
import os
import pathlib
import statistics
import subprocess
import tempfile
import unittest

import axe_playwright_python.sync_playwright as axe
import browser
from stack import ROOT

RUN_FILE = ROOT / "examples/nano/run.yaml"
SEEDS = 5
STEPS = 3
SMALL = {"steps": STEPS, "evaluation.max_problems": 6, "evaluation.samples": 2}


class ReportTest(unittest.TestCase):
    binaries = None  # the folder that has them
    @classmethod
    def setUpClass(cls):
        folder = cls.enterClassContext(tempfile.TemporaryDirectory(prefix="report_"))
        cls.home = pathlib.Path(folder)
        (cls.home / "sweep.yaml").write_text(json.dumps(
            {"name": "seeds", "run": str(RUN_FILE), "seeds": list(range(SEEDS)), "fields": {name: [value] for name, value in SMALL.items()}}))
        cls.ctl("sweep", cls.home / "sweep.yaml")
        cls.runs = sorted((json.loads(file.read_text())["name"], file.parent) for file in cls.home.glob("*/run.json"))
        cls.run_page, cls.sweep_page = cls.home / "run.html", cls.home / "sweep.html"
        cls.ctl("report", cls.runs[0][0], "--out", cls.run_page)
        cls.ctl("report", "seeds", "--out", cls.sweep_page)
        cls.chromium = cls.enterClassContext(browser.chromium())

    @classmethod
    def ctl(cls, *words):
        done = subprocess.run([cls.binaries / "evilmoe-ctl", *words], env={**os.environ, "EVILMOE_HOME": str(cls.home)}, capture_output=True,
                              text=True, timeout=900)
        assert done.returncode == 0, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    @contextlib.contextmanager
    def open(self, file, **more):
        with browser.window(self.chromium, file.as_uri(), offline=True, **more) as page:
            # Charts are drawn once their width is known.
            page.wait_for_function("() => [...document.querySelectorAll('.chart')].every((one) => one.offsetParent === null || one.querySelector('canvas'))")
            yield page
            self.assertEqual(page.watch.problems(), [])

    @staticmethod
    def metrics(directory):
        return [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]

    @staticmethod
    def ablation(directory):
        return json.loads((directory / "eval/ablation.json").read_text())

    @staticmethod
    def data(page):
        return json.loads(page.locator("#data").text_content())

    def test_the_runs_ended(self):
        self.assertEqual([name[-3:] for name, _ in self.runs], [f".s{seed}" for seed in range(SEEDS)])
        for _, directory in self.runs:
            self.assertEqual(json.loads((directory / "run.json").read_text())["state"], "succeeded")
            self.assertEqual(len(self.metrics(directory)), STEPS)

    def test_a_runs_numbers_are_those_of_its_files(self):
        directory = self.runs[0][1]
        rows, ablation = self.metrics(directory), self.ablation(directory)
        with self.open(self.run_page) as page:
            data = self.data(page)
            self.assertGreater(len(data["metrics"]), 20)
            for name, column in data["metrics"].items():
                if name == "angle_degrees":  # of the page's own script
                    continue
                self.assertEqual(column, [row.get(name) for row in rows], name)
            for shown, row in zip(data["ablation"]["rows"], ablation["rows"], strict=True):
                self.assertEqual(shown, {name: row[name] for name in shown})
            self.assertIn(ablation["final_line"], page.locator(".final").inner_text())
            self.assert_table(page, ablation)
            legend = lambda: page.locator("#rates .legend").inner_text()  # noqa: E731
            self.assertIn(f"hack, strict {rows[-1]['hack_rate_strict']:.2f}", legend())
            self.assertIn(f"solve {rows[-1]['solve_rate']:.2f}", legend())
            page.locator("#step").focus()
            page.keyboard.press("Home")
            self.assertEqual(page.locator("#step-name").inner_text(), "1")
            self.assertIn(f"solve {rows[0]['solve_rate']:.2f}", legend())

    def assert_table(self, page, ablation):
        text = page.locator("#ablation-table").inner_text()
        for row in ablation["rows"]:
            for key in ("hack_strict", "hack_loose", "solve"):
                self.assertIn(f"{row[key]:.3f} [{row[key + '_low']:.3f}, {row[key + '_high']:.3f}]", text)

    def test_a_run_can_be_made_again(self):
        directory = self.runs[0][1]
        run = json.loads((directory / "run.json").read_text())
        with self.open(self.run_page) as page:
            text = page.locator("section", has=page.locator("#again-title")).inner_text()
            for value in (run["run_id"], run["config_sha256"], run["model_fingerprint"], run["adapter"]["sha256"], "evilmoe ", "torch ",
                          "evilmoe-ctl submit run.yaml", f"evilmoe-ctl replay {run['run_id']} --step {STEPS}"):
                self.assertIn(value, text)
            self.assertEqual(page.locator("pre.config").text_content().strip(), (directory / "config.yaml").read_text().strip())

    def test_a_sweeps_numbers_are_those_of_its_runs(self):
        with self.open(self.sweep_page) as page:
            group, = self.data(page)["groups"]
            self.assertEqual(group["num_runs"], SEEDS)
            self.assertIn(f"{SEEDS} seeds", page.locator(".verdict").inner_text())
            trained = [{row["mode"]: row for row in self.ablation(directory)["rows"] if row["markers"] == "trained"} for _, directory in self.runs]
            for mode in ("on", "off", "base"):
                for name, key in (("hack", "hack_strict"), ("solve", "solve")):
                    rates = [rows[mode][key] for rows in trained]
                    self.assertAlmostEqual(group["rates"][f"{name}_{mode}"]["mean"], statistics.mean(rates), places=12)
                    half = 2.776 * statistics.stdev(rates) / SEEDS ** 0.5
                    self.assertAlmostEqual(group["rates"][f"{name}_{mode}"]["high"], min(1, statistics.mean(rates) + half), places=9)
            for name in ("hack_rate_strict", "solve_rate", "kl"):
                curves = [[row[name] for row in self.metrics(directory)] for _, directory in self.runs]
                for shown, values in zip(group["curves"][name]["mean"], zip(*curves), strict=True):
                    self.assertAlmostEqual(shown, statistics.mean(values), places=12)
            for _, directory in self.runs:
                self.assertIn(json.loads((directory / "run.json").read_text())["run_id"], page.locator("body").inner_text())

    def test_they_fit_and_can_be_read(self):
        for file in (self.run_page, self.sweep_page):
            for scheme in ("light", "dark"):
                for width in (360, 768, 1280, 1920):
                    with self.subTest(file=file.name, scheme=scheme, width=width), self.open(file, width=width, scheme=scheme) as page:
                        self.assertLessEqual(page.evaluate("() => document.scrollingElement.scrollWidth - document.scrollingElement.clientWidth"), 0)
                        if width in (360, 1280):
                            violations = axe.Axe().run(page).response["violations"]
                            self.assertEqual([f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in violations], [])

    def test_they_print(self):
        for file in (self.run_page, self.sweep_page):
            with self.subTest(file=file.name), self.open(file, scheme="dark") as page:
                # Paper is light, and each chart as wide as its column there.
                page.evaluate("() => dispatchEvent(new Event('beforeprint'))")
                page.emulate_media(media="print")
                self.assertEqual(page.evaluate("() => getComputedStyle(document.body).backgroundColor"), "rgb(251, 250, 248)")
                wide = page.evaluate("() => [...document.querySelectorAll('.chart .uplot')].map((one) => one.offsetWidth - one.parentElement.clientWidth)")
                self.assertTrue(wide)
                self.assertLessEqual(max(wide), 0)
                self.assertGreater(len(page.pdf()), 20_000)
