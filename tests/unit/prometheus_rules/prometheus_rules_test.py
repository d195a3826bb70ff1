"""deploy/prometheus: configs and rules by promtool, its unit tests of every rule, and that each alert has its runbook."""
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

try:
    import yaml
except ImportError:
    yaml = None

ROOT = pathlib.Path(__file__).resolve().parents[3]
FOLDER = ROOT / "deploy/prometheus"
PROMTOOL = shutil.which("promtool")
METRIC = re.compile(r"\bevilmoe_[a-z0-9_]+")


def rules():
    for name in ("rules.yml", "alerts.yml"):
        for group in yaml.safe_load((FOLDER / name).read_text())["groups"]:
            yield from group["rules"]


def tests():
    for path in sorted((FOLDER / "tests").glob("*.yml")):
        yield from yaml.safe_load(path.read_text())["tests"]


def promtool(*arguments, folder=FOLDER):
    done = subprocess.run([PROMTOOL, *arguments], cwd=folder, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


@unittest.skipUnless(PROMTOOL, "promtool is not installed (Debian's prometheus)")
class PromtoolTest(unittest.TestCase):
    def test_rules_are_good(self):
        code, output = promtool("check", "rules", "rules.yml", "alerts.yml")
        self.assertEqual(code, 0, output)

    def test_configs_are_good(self):
        for config in ("prometheus/prometheus.yml", "compose/prometheus.yml"):
            with tempfile.TemporaryDirectory() as folder:  # as compose mounts them: side by side
                for name in ("rules.yml", "alerts.yml"):
                    shutil.copy(FOLDER / name, folder)
                shutil.copy(ROOT / "deploy" / config, pathlib.Path(folder) / "prometheus.yml")
                code, output = promtool("check", "config", "prometheus.yml", folder=folder)
            self.assertEqual(code, 0, f"{config}: {output}")

    def test_every_rule_does_what_its_tests_say(self):
        code, output = promtool("test", "rules", *sorted(str(p) for p in (FOLDER / "tests").glob("*.yml")))
        self.assertEqual(code, 0, output)

    def test_a_rule_that_never_fires_fails_them(self):
        with tempfile.TemporaryDirectory() as folder:
            copy = pathlib.Path(folder) / "prometheus"
            shutil.copytree(FOLDER, copy, ignore=shutil.ignore_patterns("targets"))
            alerts = copy / "alerts.yml"
            alerts.write_text(alerts.read_text().replace("> 600", "> 60000"))
            code, output = promtool("test", "rules", "tests/alerts_test.yml", folder=copy)
        self.assertNotEqual(code, 0, output)
        self.assertIn("EvilMoeNoStep", output)


@unittest.skipUnless(yaml, "PyYAML is not installed")
class RulesTest(unittest.TestCase):
    def test_every_alert_has_a_runbook_that_is_there(self):
        headings = re.findall(r"^### (.+)$", (ROOT / "docs/operations.md").read_text(), re.MULTILINE)
        anchors = {heading.lower().replace(" ", "-") for heading in headings}
        named = {rule["annotations"]["runbook"] for rule in rules() if "alert" in rule}
        self.assertEqual(named, {f"docs/operations.md#{anchor}" for anchor in anchors})

    def test_the_runbook_names_its_alert(self):
        text = (ROOT / "docs/operations.md").read_text()
        for rule in rules():
            if "alert" in rule:
                self.assertIn(f"`{rule['alert']}` ({rule['labels']['severity']})", text)

    def test_every_alert_is_made_to_fire(self):
        firing = {case["alertname"] for test in tests() for case in test.get("alert_rule_test", []) if case.get("exp_alerts")}
        self.assertEqual(firing, {rule["alert"] for rule in rules() if "alert" in rule})

    def test_every_recorded_series_has_a_test(self):
        asked = {case["expr"] for test in tests() for case in test.get("promql_expr_test", [])}
        self.assertEqual(asked, {rule["record"] for rule in rules() if "record" in rule})

    def test_every_metric_is_documented(self):
        text = (ROOT / "docs/metrics.md").read_text()
        for rule in rules():
            expression = re.sub(r"\brun\w*:evilmoe_[a-z0-9_]+:\w+", "", rule["expr"])
            for name in METRIC.findall(expression):
                plain = re.sub(r"_(bucket|sum|count)$", "", name)
                self.assertIn(f"`{plain}`", text, f"{rule.get('alert') or rule['record']}: {name}")


if __name__ == "__main__":
    unittest.main()
