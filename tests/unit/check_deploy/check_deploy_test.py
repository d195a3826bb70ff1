"""scripts/deploy_checks against manifests with one mistake each, and the scripts that the images bring."""
import contextlib
import http.server
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "scripts"))
try:
    from deploy_checks import cluster_rules, compose, shell, yaml_files
    from deploy_checks.report import Report
except ImportError as error:
    raise unittest.SkipTest(f"{error}: scripts/check_deploy --install") from error

GRADER = """
apiVersion: v1
kind: Service
metadata: {name: grader}
spec: {selector: {app.kubernetes.io/component: grader}, ports: [{port: 7432, targetPort: grpc}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: grader-config}
data: {grader.yaml: "{listen: '0.0.0.0:7432', metrics_listen: '0.0.0.0:9464', drain_s: 10, tokens: /run/tokens/tokens.yaml}"}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: grader}
spec:
  template:
    metadata: {labels: {app.kubernetes.io/component: grader}}
    spec:
      automountServiceAccountToken: false
      terminationGracePeriodSeconds: 20
      securityContext: {runAsNonRoot: true, runAsUser: 10001, seccompProfile: {type: RuntimeDefault}}
      containers:
        - name: grader
          image: evilmoe/grader:1
          ports: [{name: grpc, containerPort: 7432}, {name: metrics, containerPort: 9464}]
          livenessProbe: {httpGet: {path: /healthz, port: metrics}}
          resources: {requests: {cpu: 1, memory: 1Gi}, limits: {memory: 1Gi}}
          securityContext: {readOnlyRootFilesystem: true, allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
          volumeMounts: [{name: config, mountPath: /etc/evilmoe}, {name: tokens, mountPath: /run/tokens}, {name: tmp, mountPath: /tmp}]
      volumes:
        - {name: config, configMap: {name: grader-config}}
        - {name: tokens, secret: {secretName: evilmoe-tokens}}
        - {name: tmp, emptyDir: {medium: Memory, sizeLimit: 64Mi}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: grader}
spec: {podSelector: {}, policyTypes: [Ingress, Egress], egress: []}
"""

# One change of the text above, and words of the problem that it must bring.
MISTAKES = {
    "runs as root": ("runAsNonRoot: true, ", "", "runs as root"),
    "no seccomp": ("type: RuntimeDefault", "type: Unconfined", "no seccomp profile"),
    "API token": ("automountServiceAccountToken: false", "automountServiceAccountToken: true", "API server"),
    "writable root": ("readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false", "writable"),
    "keeps capabilities": ("drop: [ALL]", "drop: [NET_RAW]", "keeps capabilities"),
    "no tag": ("evilmoe/grader:1", "evilmoe/grader", "has no tag"),
    "no probe": ("livenessProbe", "readinessProbe", "no livenessProbe"),
    "no memory limit": (", limits: {memory: 1Gi}", "", "no limit of memory"),
    "tmp above the limit": ("sizeLimit: 64Mi", "sizeLimit: 2Gi", "expected at most its limit"),
    "tmp without a size": (", sizeLimit: 64Mi", "", "no sizeLimit"),
    "unknown ConfigMap": ("configMap: {name: grader-config}", "configMap: {name: grader-confi}", "no ConfigMap grader-confi"),
    "unknown Secret": ("secretName: evilmoe-tokens", "secretName: tokens", "Secret tokens is none of"),
    "another Secret's file": ("tokens/tokens.yaml", "tokens/worker.token", "its Secret has ['tokens.yaml']"),
    "mounted nowhere": ("mountPath: /run/tokens}", "mountPath: /run/token}", "/run/tokens/tokens.yaml: nothing is mounted there"),
    "service without pod": ("selector: {app.kubernetes.io/component: grader}", "selector: {a: b}", "selects no pod"),
    "port name": ("targetPort: grpc", "targetPort: rpc", "targetPort rpc is none of"),
    "another port": ("'0.0.0.0:7432'", "'0.0.0.0:7433'", "expected port grpc, 7432"),
    "metrics port": ("'0.0.0.0:9464'", "'0.0.0.0:9465'", "metrics_listen"),
    "drain too long": ("drain_s: 10", "drain_s: 16", "does not fit into terminationGracePeriodSeconds 20"),
    "way out": ("egress: []", "egress: [{}]", "may dial"),
    "way in": ("egress: []", "ingress: [{}]", "lets in everybody"),
    "no policy": ("policyTypes: [Ingress, Egress]", "policyTypes: [Egress]", "no NetworkPolicy on its Ingress"),
}


def problems_of(text):
    report = Report()
    cluster_rules.check("t", yaml_files.documents(text), report, ROOT)
    return report.problems


class ClusterRulesTest(unittest.TestCase):
    def test_a_sound_manifest_has_no_problem(self):
        self.assertEqual(problems_of(GRADER), [])

    def test_each_mistake_is_named(self):
        for name, (good, bad, words) in MISTAKES.items():
            with self.subTest(name):
                self.assertEqual(GRADER.count(good), 1)
                problems = problems_of(GRADER.replace(good, bad))
                self.assertTrue(any(words in problem for problem in problems), problems)

    def test_a_rank_a_device(self):
        text = GRADER.replace("drain_s: 10", "device: cuda, ranks: 2")
        self.assertIn("2 ranks on 0 GPUs", " ".join(problems_of(text)))
        text = text.replace("limits: {memory: 1Gi}", 'limits: {memory: 1Gi, nvidia.com/gpu: "2"}')
        self.assertEqual(problems_of(text), [])

    def test_quantities(self):
        for text, want in (("100m", 0.1), ("2", 2), (3, 3), ("1.5Gi", 1.5 * 2**30), ("64Mi", 2**26), ("1k", 1000)):
            with self.subTest(text):
                self.assertEqual(cluster_rules.quantity(text), want)
        self.assertRaises(ValueError, cluster_rules.quantity, "1 GB")

    def test_selectors(self):
        labels = {"a": "1", "b": "2"}
        for selector, want in (({}, True), ({"matchLabels": {"a": "1"}}, True), ({"matchLabels": {"a": "2"}}, False),
                               ({"matchExpressions": [{"key": "b", "operator": "In", "values": ["2", "3"]}]}, True),
                               ({"matchExpressions": [{"key": "b", "operator": "NotIn", "values": ["2"]}]}, False),
                               ({"matchExpressions": [{"key": "c", "operator": "Exists"}]}, False)):
            with self.subTest(selector):
                self.assertEqual(cluster_rules.selects(selector, labels), want)


class YamlTest(unittest.TestCase):
    def test_a_key_that_stands_twice(self):
        with self.assertRaisesRegex(yaml_files.yaml.YAMLError, "'a' stands twice"):
            yaml_files.documents("b: {a: 1, a: 2}")

    def test_merged_mappings(self):
        self.assertEqual(yaml_files.documents("x: &x {a: 1}\ny: {<<: *x, a: 2}"), [{"x": {"a": 1}, "y": {"a": 2}}])


class ComposeTest(unittest.TestCase):
    def test_an_override_adds_to_lists_and_replaces_a_volume_by_its_target(self):
        base = {"volumes": ["./a:/c:ro", "${V:-./d}:/e"], "security_opt": ["x"], "image": "i"}
        over = {"volumes": ["./b:/c:ro"], "security_opt": ["y"]}
        self.assertEqual(compose.merged(base, over), {"volumes": ["${V:-./d}:/e", "./b:/c:ro"],
                                                      "security_opt": ["x", "y"], "image": "i"})

    def test_mount_points(self):
        service = {"volumes": ["./a:/x", "${V:-./b}:/y:ro"], "tmpfs": ["/tmp:size=1m"]}
        self.assertEqual(list(compose.mount_points(service)), ["/x", "/y", "/tmp"])


class BatchScriptTest(unittest.TestCase):
    GOOD = ("#!/usr/bin/env bash\n#SBATCH --job-name=j\n#SBATCH --time=1:00:00\n#SBATCH --signal=B:TERM@180\n"
            "#SBATCH --requeue\n#SBATCH --open-mode=append\n#SBATCH --output=o\n#SBATCH --cpus-per-task=8\n#SBATCH --mem=1G\ntrue\n")

    def problems(self, text):
        report = Report()
        shell.check_batch_script("f", text, report)
        return " ".join(report.problems)

    def test_lines(self):
        self.assertEqual(self.problems(self.GOOD), "")
        for good, bad, words in (("true\n", "true\n#SBATCH --nodes=1\n", "behind a command"),
                                 ("--mem=1G", "--memory=1G", "expected --NAME"),
                                 ("#SBATCH --requeue\n", "", "lacks ['--requeue']"),
                                 ("B:TERM@180", "TERM@180", "to the batch script alone"),
                                 ("--time=1:00:00", "--time=0:02:00", "before the job starts")):
            with self.subTest(bad):
                self.assertIn(words, self.problems(self.GOOD.replace(good, bad)))

    def test_times(self):
        self.assertEqual([shell.seconds_of(t) for t in ("1:02:03", "2-00:00:10")], [3723, 172810])


class UnfinishedTest(unittest.TestCase):
    """docker/unfinished: a server's clean end after SIGTERM is no success of a Job."""

    # A server as ours: it blocks SIGTERM, says that it is there, and waits for the signal.
    SERVER = ("import signal, sys\nsignal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})\n"
              "print('ready', flush=True)\nsignal.sigwait({signal.SIGTERM})\nsys.exit(%d)")
    DEAF = "import signal\nprint('ready', flush=True)\nsignal.pause()"

    def end_of(self, program, send=None):
        """Exit code of a Python program under it; `send`: a signal once the program has printed a line."""
        process = subprocess.Popen([str(ROOT / "docker/unfinished"), sys.executable, "-c", program], stdout=subprocess.PIPE)
        with process:
            if send:
                process.stdout.readline()
                os.kill(process.pid, send)
            return process.wait(timeout=30)

    def test_exit_codes(self):
        for name, program, send, want in (("done", "", None, 0), ("failed", "raise SystemExit(5)", None, 5),
                                          ("stopped", self.SERVER % 0, signal.SIGTERM, 143),
                                          ("interrupted", self.SERVER % 0, signal.SIGINT, 143),
                                          ("stopped badly", self.SERVER % 3, signal.SIGTERM, 3),
                                          ("killed", self.DEAF, signal.SIGTERM, 143)):
            with self.subTest(name):
                self.assertEqual(self.end_of(program, send), want)


class HealthcheckTest(unittest.TestCase):
    @contextlib.contextmanager
    def server(self, status):
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                self.send_response(status if self.path == "/healthz" else 404)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *arguments):
                pass

        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            yield server.server_port
            server.shutdown()

    def ask(self, port):
        return subprocess.run([str(ROOT / "docker/healthcheck"), str(port)], stderr=subprocess.DEVNULL, timeout=30).returncode

    def test_only_200_is_healthy(self):
        for status, want in ((200, 0), (503, 1)):
            with self.subTest(status), self.server(status) as port:
                self.assertEqual(self.ask(port), want)

    def test_nobody_listens(self):
        with self.server(200) as port:
            pass
        self.assertNotEqual(self.ask(port), 0)


class RenderTest(unittest.TestCase):
    def test_a_placeholder_without_a_value_is_refused(self):
        """render() of deploy/slurm/common.sh replaces what it is given, and refuses a template with more."""
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            (folder / "config").mkdir()
            (folder / "config/t.in").write_text("a: @A@\nb: @B@\n")
            script = f'source {ROOT}/deploy/slurm/common.sh; render t.in {folder}/t "$@"'
            for values, code, want in ((["A=x/y", "B=1"], 0, "a: x/y\nb: 1\n"), (["A=x"], 1, None)):
                done = subprocess.run(["bash", "-c", script, "bash", *values], stdout=subprocess.DEVNULL, timeout=30,
                                      env={**os.environ, "EVILMOE_SLURM": str(folder), "EVILMOE_SHARED": str(folder),
                                           "EVILMOE_BIN": str(folder)})
                self.assertEqual(done.returncode, code)
                if want:
                    self.assertEqual((folder / "t").read_text(), want)


if __name__ == "__main__":
    unittest.main()
