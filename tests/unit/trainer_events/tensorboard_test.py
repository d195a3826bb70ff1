"""TensorBoard, its reader and the program, on the event files of a run that was resumed. Skips where tensorboard is not
installed (scripts/watch_tools/install)."""
import importlib.util
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "scripts/watch_tools"))
import environment  # noqa: E402

environment.enter()
DEADLINE_S = 90


@unittest.skipUnless(importlib.util.find_spec("tensorboard"), "the Python package tensorboard is not installed")
class TensorBoardTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        out = subprocess.run([os.environ["EVILMOE_WRITE_EVENT_FILES"], self.folder.name],
                             check=True, capture_output=True, text=True).stdout
        self.steps = [json.loads(line) for line in out.splitlines()]
        self.assertEqual([step["step"] for step in self.steps], [1, 2, 3, 4, 5])

    def reader(self, **options):
        from tensorboard.backend.event_processing import event_accumulator
        reader = event_accumulator.EventAccumulator(self.folder.name, {event_accumulator.SCALARS: 0,
                                                                       event_accumulator.HISTOGRAMS: 0}, **options)
        return reader.Reload()

    def test_scalars_are_there_once_with_or_without_its_purge(self):
        for purge in (True, False):
            reader = self.reader(purge_orphaned_data=purge)
            self.assertEqual(sorted(reader.Tags()["scalars"]), ["loss", "reward"])
            for tag, name in (("loss", "loss"), ("reward", "reward_mean")):
                self.assertEqual([(scalar.step, scalar.value) for scalar in reader.Scalars(tag)],
                                 [(step["step"], step[name]) for step in self.steps])

    def test_wall_times_are_the_clocks(self):
        self.assertEqual([scalar.wall_time for scalar in self.reader().Scalars("loss")], [10, 20, 50, 60, 70])

    def test_histograms_have_the_counts(self):
        reader = self.reader()
        self.assertEqual(reader.Tags()["histograms"], ["router/w_histogram_hack"])
        shown = reader.Histograms("router/w_histogram_hack")
        self.assertEqual([histogram.step for histogram in shown], [1, 2, 3, 4, 5])
        for histogram, step in zip(shown, self.steps):
            self.assertEqual(histogram.histogram_value.bucket, step["w_histogram_hack"])
            self.assertEqual(histogram.histogram_value.num, 3 + step["step"])
            self.assertAlmostEqual(histogram.histogram_value.min, step["step"] / 20)

    def test_the_program_serves_them(self):
        with tempfile.TemporaryFile("w+") as said:
            program = subprocess.Popen([sys.executable, "-m", "tensorboard.main", "--logdir", self.folder.name, "--host",
                                        "127.0.0.1", "--port", "0", "--load_fast", "false"], stdout=said, stderr=said)
            self.addCleanup(program.wait)
            self.addCleanup(program.kill)
            deadline = time.monotonic() + DEADLINE_S
            tags, text, url = {}, "", None
            while time.monotonic() < deadline and program.poll() is None and not tags.get("."):
                said.seek(0)
                text = said.read()
                url = re.search(r"at (http://127\.0\.0\.1:\d+/)", text)
                if url:
                    with urllib.request.urlopen(url[1] + "data/plugin/scalars/tags", timeout=30) as answer:
                        tags = json.load(answer)
                time.sleep(0.1)  # between two looks
            self.assertEqual(sorted(tags.get(".", {})), ["loss", "reward"], text)
            with urllib.request.urlopen(url[1] + "data/plugin/scalars/scalars?run=.&tag=reward", timeout=30) as answer:
                self.assertEqual([(step, value) for _, step, value in json.load(answer)],
                                 [(step["step"], step["reward_mean"]) for step in self.steps])

    def test_a_purging_reader_takes_a_later_file_for_a_restart(self):
        """What `tensorboard` does that had read the first file before the run was resumed."""
        from tensorboard.backend.event_processing import event_file_loader
        names = sorted(os.listdir(self.folder.name))
        self.assertEqual(len(names), 3)
        events = list(event_file_loader.EventFileLoader(os.path.join(self.folder.name, names[2])).Load())
        self.assertEqual(events[0].file_version, "brain.Event:2")
        self.assertEqual((events[1].session_log.status, events[1].step), (1, 3))


if __name__ == "__main__":
    unittest.main()
