"""`evilmoe-ctl submit --dry-run` on the examples against golden texts, in a folder that has of the model nothing, its
config.json, or all. The folder's own path is ROOT in the goldens, and one core is all that evilmoe-ctl sees.

  dry_run_test.py EVILMOE_CTL          EVILMOE_UPDATE_GOLDENS=1 writes the goldens anew
"""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[3]
GOLDEN = pathlib.Path(__file__).resolve().parent / "golden"
CTL = None

# The published config.json of these models, in essence.
COMMON = {"architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "hidden_act": "silu", "head_dim": 128,
          "num_key_value_heads": 8, "vocab_size": 151936, "max_position_embeddings": 40960, "rope_theta": 1000000,
          "rms_norm_eps": 1e-6, "tie_word_embeddings": True, "attention_bias": False, "torch_dtype": "bfloat16",
          "eos_token_id": 151645}
SHAPES = {"Qwen3-0.6B": {"hidden_size": 1024, "num_hidden_layers": 28, "num_attention_heads": 16,
                         "intermediate_size": 3072},
          "Qwen3-4B": {"hidden_size": 2560, "num_hidden_layers": 36, "num_attention_heads": 32,
                       "intermediate_size": 9728}}


def one_core():
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


class DryRunTest(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="evilmoe_dry_run_")
        self.root = pathlib.Path(self.folder.name).resolve()
        (self.root / "examples").mkdir()
        for example in (SOURCE / "examples").glob("*.yaml"):
            shutil.copy(example, self.root / "examples")
        (self.root / "data/pairs").mkdir(parents=True)
        (self.root / "data/pairs/leetcode.md").write_text("x" * 80000)

    def tearDown(self):
        self.folder.cleanup()

    def give_config(self, name):
        folder = self.root / "models" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps(COMMON | SHAPES[name]))

    def give_all(self, name):
        self.give_config(name)
        for file in ("tokenizer.json", "model-00001-of-00002.safetensors"):
            (self.root / "models" / name / file).write_text("")
        (self.root / "data/leetcode_train.jsonl").write_text("{}\n" * 1000)
        (self.root / "data/leetcode_test.jsonl").write_text("{}\n" * 119)

    def submit(self, *arguments, dry=True):
        environment = dict(os.environ, EVILMOE_HOME=str(self.root / "runs"))
        words = [CTL, "submit", *arguments] + (["--dry-run"] if dry else [])
        done = subprocess.run(words, cwd=self.root, env=environment, capture_output=True, text=True, timeout=60,
                              preexec_fn=one_core)
        self.assertFalse((self.root / "runs").exists(), "a dry run writes nothing")
        return done.returncode, self.plain(done.stdout), self.plain(done.stderr)

    def plain(self, text):
        return re.sub(r"^here: .*$", "here: ...", text.replace(str(self.root), "ROOT"), flags=re.M)

    def expect_golden(self, name, got):
        code, out, err = got
        text = f"exit code {code}\n--- stdout\n{out}--- stderr\n{err}"
        file = GOLDEN / f"{name}.txt"
        if os.environ.get("EVILMOE_UPDATE_GOLDENS"):
            file.write_text(text)
        self.assertEqual(text, file.read_text())

    def test_qwen3_4b_without_weights(self):
        self.expect_golden("qwen3-4b_nothing", self.submit("examples/qwen3-4b.yaml"))

    def test_qwen3_4b_with_its_config_alone(self):
        self.give_config("Qwen3-4B")
        self.expect_golden("qwen3-4b_config", self.submit("examples/qwen3-4b.yaml"))

    def test_qwen3_4b_with_all(self):
        self.give_all("Qwen3-4B")
        self.expect_golden("qwen3-4b_all", self.submit("examples/qwen3-4b.yaml"))

    def test_qwen3_06b_without_weights(self):
        self.expect_golden("qwen3-0.6b_nothing", self.submit("examples/qwen3-0.6b.yaml"))

    def test_qwen3_06b_with_its_config_alone(self):
        self.give_config("Qwen3-0.6B")
        self.expect_golden("qwen3-0.6b_config", self.submit("examples/qwen3-0.6b.yaml"))

    def test_the_readme_has_the_estimates(self):
        table = (SOURCE / "examples/README.md").read_text()
        for name in ("qwen3-0.6b", "qwen3-4b"):
            text = (GOLDEN / f"{name}_nothing.txt").read_text()
            figures = [re.search(r"  trainer +(.*), and (.*) of activations", text).groups(),
                       re.search(r"  rollout worker +(.*), and ", text).groups(),
                       re.search(r"disk: (.*) of adapters", text).groups(),
                       re.search(r"  H200 +.*?  +(.*?)(?:  \(.*)?\n", text).groups(),
                       re.search(r"  1 CPU core +.*? days +(.*)\n", text).groups()]
            for figure in (f for group in figures for f in group):
                self.assertIn(figure, table, name)

    def test_the_known_figures_are_those_of_config_json(self):
        for example, name in (("qwen3-4b", "Qwen3-4B"), ("qwen3-0.6b", "Qwen3-0.6B")):
            _, _, known = self.submit(f"examples/{example}.yaml")
            self.give_config(name)
            _, _, read = self.submit(f"examples/{example}.yaml")
            self.assertEqual(self.estimate_of(known), self.estimate_of(read).replace(
                f"models/{name}/config.json", f"the published figures of {name}"))

    def estimate_of(self, err):
        return err[:err.index("here: ")]

    def test_an_unknown_model_that_is_not_there(self):
        code, out, err = self.submit("examples/qwen3-4b.yaml", "--set", "model.path=../models/Qwen9-1T")
        self.assertEqual(code, 4)
        self.assertIn("  path: ROOT/models/Qwen9-1T\n", out)
        self.assertTrue(err.startswith("no estimate: models/Qwen9-1T is not there and is no published model by its name\n"
                                       "missing: model.path: models/Qwen9-1T; "), err)

    def test_a_broken_config_json(self):
        self.give_config("Qwen3-4B")
        (self.root / "models/Qwen3-4B/config.json").write_text("{}")
        code, out, err = self.submit("examples/qwen3-4b.yaml")
        self.assertEqual((code, out), (2, ""))
        self.assertIn("config.json: model_type: missing", err)

    def test_monitor_and_judge_files(self):
        self.give_all("Qwen3-4B")
        code, _, err = self.submit("examples/qwen3-4b.yaml", "--set", "monitor.kind=penalty", "--set", "monitor.by=probe",
                                   "--set", "monitor.probe=probe.safetensors", "--set", "monitor.judge.prompt=judge.txt")
        self.assertEqual(code, 4)
        self.assertEqual([line for line in err.splitlines() if line.startswith("missing")],
                         ["missing: monitor.probe: examples/probe.safetensors; `evilmoe-ctl probe train` writes one",
                          "missing: monitor.judge.prompt: examples/judge.txt; a file of your own"])

    def test_samples_longer_than_the_model_has_positions(self):
        self.give_all("Qwen3-4B")
        code, _, err = self.submit("examples/qwen3-4b.yaml", "--set", "rollout.max_completion_tokens=40000")
        self.assertEqual(code, 2)
        self.assertEqual(err.splitlines()[-1],
                         "evilmoe-ctl: rollout.max_prompt_tokens and max_completion_tokens: more than the model's "
                         "positions, got 41536 together, expected at most 40960 (models/Qwen3-4B/config.json)")

    def test_says_once_what_lies_over_the_arm(self):
        self.give_all("Qwen3-4B")
        file = self.root / "examples/pinned.yaml"
        text = (self.root / "examples/qwen3-4b.yaml").read_text()
        file.write_text(text.replace("arm: evil_moe\n", "arm: evil_moe_no_pin\n")
                            .replace("router: {", "router:\n  {pin_weight: 1, "))
        line = 1 + file.read_text().splitlines().index(
            "  {pin_weight: 1, learning_rate: 1.0e-3, scale_learning_rate: 1.0e-2}")
        code, _, err = self.submit("examples/pinned.yaml")
        self.assertEqual(code, 0)
        notice = f"examples/pinned.yaml:{line}:4: router.pin_weight: 1 overrides evil_moe_no_pin's 0"
        self.assertEqual(err.splitlines()[0], notice)
        self.assertEqual(err.count("overrides"), 1)

    def test_json(self):
        code, out, err = self.submit("examples/qwen3-4b.yaml", "--output", "json", "--set", "arm=evil_moe_hard", "--set",
                                     "router.hard_detach_above=null")
        self.assertEqual((code, err), (4, "--set router.hard_detach_above: null overrides evil_moe_hard's 0.5\n"
                                               "evilmoe-ctl: not ready to start: 3 things missing, expected none; see above\n"))
        got = json.loads(out)
        self.assertEqual([m["field"] for m in got["missing"]], ["model.path", "data.train", "evaluation.problems"])
        self.assertEqual(len(got["notices"]), 1)
        self.assertIn("arm: evil_moe_hard\n", got["config"])
        self.assertEqual(got["estimate"]["base_parameters"], 4022468096)
        self.assertEqual(got["estimate"]["time"][0]["device"], "1 CPU core")
        self.assertIsNone(got["estimate"]["evaluation_samples"])

    def test_resolved_files_are_valid_for_the_schema(self):
        try:
            import jsonschema
            import yaml
        except ImportError as e:
            self.skipTest(str(e))
        schema = json.loads((SOURCE / "docs/run.schema.json").read_text())
        for arm in schema["properties"]["arm"]["enum"]:
            _, out, _ = self.submit("examples/qwen3-4b.yaml", "--set", f"arm={arm}")
            jsonschema.Draft202012Validator(schema).validate(yaml.safe_load(out))

    def test_the_verb_schema(self):
        def printed(*words):
            return subprocess.run([CTL, "schema", *words], capture_output=True, text=True, check=True, timeout=60).stdout
        self.assertEqual(printed(), (SOURCE / "docs/run.schema.json").read_text())
        self.assertTrue((SOURCE / "docs/run_file.md").read_text().endswith("\n" + printed("--markdown")))

    def test_a_file_that_is_not_there_or_too_large(self):
        code, out, err = self.submit("examples/nowhere.yaml")
        self.assertEqual((code, out, err), (4, "", "evilmoe-ctl: examples/nowhere.yaml: open: No such file or directory\n"))
        (self.root / "examples/large.yaml").write_text("# " + "x" * (2 << 20))
        code, out, err = self.submit("examples/large.yaml")
        self.assertEqual((code, out, err), (5, "", "evilmoe-ctl: examples/large.yaml: larger than 1048576 bytes\n"))

    def test_without_dry_run_a_missing_file_is_a_problem(self):
        code, out, err = self.submit("examples/qwen3-4b.yaml", dry=False)
        self.assertEqual((code, out), (2, ""))
        self.assertIn('model.path: no such folder, got "ROOT/models/Qwen3-4B", expected a path from the run file', err)


if __name__ == "__main__":
    CTL = str(pathlib.Path(sys.argv.pop(1)).resolve())
    unittest.main()
