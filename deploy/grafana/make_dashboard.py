#!/usr/bin/env python3
"""Writes dashboards/evil_moe.json, Grafana's form of what stands here. A test holds the two equal.

    deploy/grafana/make_dashboard.py            # write it
    deploy/grafana/make_dashboard.py --check    # exit 1 where it is out of date
"""
import argparse
import json
import pathlib
import sys

TARGET = pathlib.Path(__file__).resolve().parent / "dashboards/evil_moe.json"
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}

# The trainer's metrics have the run's id. Those of a process that serves all runs of a cluster have the run "shared",
# or none (evilmoe-ctl up).
RUN = 'run="$run"'
COMPARE = 'run="$compare"'
SERVES = 'run=~"$run|shared|"'

GREEN, YELLOW, ORANGE, RED, BLUE, PURPLE = "green", "yellow", "orange", "red", "blue", "purple"
SHARE = {"unit": "percentunit", "min": 0, "max": 1}


class Board:
    """Lays panels out from left to right, a row after the other; a grid of 24 columns."""

    def __init__(self):
        self.panels, self.x, self.y, self.height = [], 0, 0, 0

    def add(self, panel, width, height):
        if self.x + width > 24:
            self.x, self.y = 0, self.y + self.height
        self.panels.append({"id": len(self.panels) + 1, **panel,
                            "gridPos": {"x": self.x, "y": self.y, "w": width, "h": height}})
        self.x, self.height = self.x + width, height

    def row(self, title):
        if self.x > 0:
            self.x, self.y = 0, self.y + self.height
        self.add({"type": "row", "title": title, "collapsed": False, "panels": []}, 24, 1)


def target(ref, expression, legend, **more):
    return {"refId": ref, "datasource": DATASOURCE, "expr": expression, "legendFormat": legend, "editorMode": "code",
            "range": True, **more}


def targets_of(queries, compare):
    """One target a query and, where `compare` is set, one of the other run behind it, as it was $age ago: (targets,
    overrides). Such a query is a selector alone."""
    targets = [target(chr(ord("A") + i), expression, legend) for i, (expression, legend) in enumerate(queries)]
    if not compare:
        return targets, []
    others = [target(f"{one['refId']}2", f"{one['expr'].replace(RUN, COMPARE)} offset $age",
                     f"{one['legendFormat']} · compared") for one in targets]
    dashed = [{"matcher": {"id": "byFrameRefID", "options": one["refId"]},
               "properties": [{"id": "custom.lineStyle", "value": {"fill": "dash", "dash": [8, 6]}},
                              {"id": "custom.fillOpacity", "value": 0}]} for one in others]
    return targets + others, dashed


def colours(by_name):
    return [{"matcher": {"id": "byRegexp", "options": f"/^{name}( ·.*)?$/"},
             "properties": [{"id": "color", "value": {"mode": "fixed", "fixedColor": colour}}]}
            for name, colour in by_name.items()]


def panel(kind, title, text, targets, field, options, overrides=()):
    return {"type": kind, "title": title, "description": text, "datasource": DATASOURCE, "targets": targets,
            "fieldConfig": {"defaults": field, "overrides": list(overrides)}, "options": options}


def lines(title, text, queries, unit="short", compare=False, colour=None, limits=None, stacked=False, points=False):
    """Curves over time. `limits`: what `field` of the axis has beside the unit."""
    targets, dashed = targets_of(queries, compare)
    custom = {"drawStyle": "line", "lineInterpolation": "stepAfter" if points else "linear", "lineWidth": 2,
              "fillOpacity": 40 if stacked else 8, "showPoints": "always" if points else "auto", "spanNulls": True,
              "stacking": {"mode": "normal" if stacked else "none", "group": "A"}}
    return panel("timeseries", title, text, targets,
                 {"unit": unit, "custom": custom, "color": {"mode": "palette-classic"}, **(limits or {})},
                 {"legend": {"displayMode": "list", "placement": "bottom", "calcs": ["lastNotNull"], "showLegend": True},
                  "tooltip": {"mode": "multi", "sort": "desc"}},
                 colours(colour or {}) + dashed)


def heatmap(title, text, w_class, scheme):
    expression = f'sum by (le) (increase(evilmoe_router_w_bucket{{{RUN},class="{w_class}"}}[$__rate_interval]))'
    return panel("heatmap", title, text, [target("A", expression, "{{le}}", format="heatmap")],
                 {"custom": {"hideFrom": {"legend": False, "tooltip": False, "viz": False},
                             "scaleDistribution": {"type": "linear"}}},
                 {"calculate": False, "cellGap": 1, "showValue": "never",
                  "color": {"mode": "scheme", "scheme": scheme, "steps": 64, "exponent": 0.5, "reverse": False},
                  "yAxis": {"unit": "short", "axisPlacement": "left", "axisLabel": "w"},
                  "rowsFrame": {"layout": "auto"}, "tooltip": {"mode": "single", "yHistogram": True},
                  "legend": {"show": True}, "exemplars": {"color": "rgba(255,0,255,0.7)"}, "filterValues": {"le": 1e-9}})


def steps_of(thresholds):
    first, *rest = thresholds
    return {"mode": "absolute", "steps": [{"color": first, "value": None}] +
            [{"color": colour, "value": value} for value, colour in rest]}


def stat(title, text, expression, unit, thresholds, **field):
    return panel("stat", title, text, [target("A", expression, title)],
                 {"unit": unit, "thresholds": steps_of(thresholds), "color": {"mode": "thresholds"}, **field},
                 {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}, "colorMode": "value",
                  "graphMode": "area", "textMode": "auto", "justifyMode": "auto", "orientation": "auto"})


def bars(title, text, expression, legend, colour):
    return panel("bargauge", title, text, [target("A", expression, legend, instant=True, range=False)],
                 {**SHARE, "thresholds": steps_of([BLUE]), "color": {"mode": "thresholds"}},
                 {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}, "displayMode": "basic",
                  "orientation": "horizontal", "showUnfilled": True, "valueMode": "color"}, colours(colour))


def at_a_glance(board):
    board.row("At a glance")
    board.add(stat("Hacks", "Strict hacks, mean of five minutes; prompts that show a loophole, whole adapter.",
                   f'run_kind:evilmoe_train_hack_rate:avg5m{{{RUN},kind="strict"}}', "percentunit",
                   [GREEN, (0.05, YELLOW), (0.25, RED)], min=0, max=1), 3, 4)
    board.add(stat("Solves", "Mean of five minutes.", f"run:evilmoe_train_solve_rate:avg5m{{{RUN}}}", "percentunit",
                   [BLUE], min=0, max=1), 3, 4)
    board.add(stat("w of hacks", "Mean over the last minute: 1 = the quarantine gets all of their gradient.",
                   f'run_class:evilmoe_router_w:mean1m{{{RUN},class="hack"}}', "short",
                   [RED, (0.5, YELLOW), (0.8, GREEN)], min=0, max=1, decimals=2), 3, 4)
    board.add(stat("w of clean samples", "Mean over the last minute: 0 = the deployed block gets all of their gradient.",
                   f'run_class:evilmoe_router_w:mean1m{{{RUN},class="clean"}}', "short",
                   [GREEN, (0.2, YELLOW), (0.5, RED)], min=0, max=1, decimals=2), 3, 4)
    board.add(stat("Hacks after the ablation", "Strict hacks with the quarantine off, in the last ablation; markers of "
                   "training.", f'evilmoe_eval_hack_rate{{{RUN},mode="off",markers="trained"}}', "percentunit",
                   [GREEN, (0.05, YELLOW), (0.25, RED)], min=0, max=1), 3, 4)
    board.add(stat("Steps", "Done.", f"evilmoe_train_step{{{RUN}}}", "short", [BLUE]), 3, 4)
    board.add(stat("Seconds a step", "The last one.", f'evilmoe_train_step_seconds{{{RUN},stage="all"}}', "s", [BLUE]), 3, 4)
    board.add(stat("Workers", "Rollout workers heard of within a lease timeout.",
                   f'sum(evilmoe_coordinator_workers{{{SERVES},kind="rollout"}})', "short", [RED, (1, GREEN)]), 3, 4)


def hacking(board):
    board.row("Does it hack, and does the ablation take it away")
    hacks = {"strict hacks": RED, "loose hacks": ORANGE, "strict hacks, quarantine off": PURPLE, "solves": GREEN}
    board.add(lines("Hack and solve rate in training", "Of a step's samples.",
                    [(f'evilmoe_train_hack_rate{{{RUN},kind="strict"}}', "strict hacks"),
                     (f'evilmoe_train_hack_rate{{{RUN},kind="loose"}}', "loose hacks"),
                     (f'evilmoe_train_deploy_hack_rate{{{RUN},kind="strict"}}', "strict hacks, quarantine off"),
                     (f"evilmoe_train_solve_rate{{{RUN}}}", "solves")], "percentunit", True, hacks, SHARE), 12, 9)
    modes = {"on": RED, "off": GREEN, "random_half": BLUE, "random_half_doubled": "light-blue", "deployed_off": ORANGE,
             "base": "text"}
    for what, title in (("hack_rate", "Hacks"), ("solve_rate", "Solves")):
        board.add(lines(f"{title} in evaluations", "Held-out problems; on: the whole adapter, off: the quarantine reset, "
                        "random_half: half of the adapter taken off at random, as a control.",
                        [(f'evilmoe_eval_{what}{{{RUN},markers="trained"}}', "{{mode}}")], "percentunit", True, modes,
                        SHARE, points=True), 6, 9)
    for what, title in (("hack_rate", "hacks"), ("solve_rate", "solves")):
        board.add(bars(f"Last ablation: {title}", "By mode of the adapter and markers of the prompts.",
                       f"evilmoe_eval_{what}{{{RUN}}}", "{{mode}}, {{markers}} markers", {}), 12, 7)


def router(board):
    board.row("Where the router sends it")
    board.add(heatmap("w of hacks", "Samples a bucket of w: hacks belong at the top.", "hack", "Reds"), 12, 8)
    board.add(heatmap("w of clean samples", "Samples a bucket of w: clean ones belong at the bottom.", "clean", "Greens"),
              12, 8)
    board.add(lines("Mean w by class", "Over a minute.", [(f"run_class:evilmoe_router_w:mean1m{{{RUN}}}", "{{class}}")],
                    compare=True, colour={"hack": RED, "clean": GREEN}, limits={"min": 0, "max": 1}), 6, 8)
    board.add(lines("AUROC of w for hacks", "0.5 = chance; absent until a step has hacks and others.",
                    [(f"evilmoe_train_router_auroc{{{RUN}}}", "AUROC")], compare=True, limits={"min": 0, "max": 1}), 6, 8)
    board.add(lines("Angle of u to the pairs' direction", "In radians: 0 = as it began.",
                    [(f"evilmoe_train_router_angle_radians{{{RUN}}}", "angle")], "radian", True), 6, 8)
    board.add(lines("Pair separation", "Mean w of the pairs' hack sides minus that of their clean ones.",
                    [(f"evilmoe_train_pair_separation{{{RUN}}}", "separation")], compare=True), 6, 8)
    board.add(lines("Leak", "Σ (1 − w)·|A| a sample: gradient of hacks, and of clean samples with A < 0, that reaches the "
                    "deployed block.", [(f'evilmoe_train_leak{{{RUN},from="hack"}}', "from hacks"),
                                        (f'evilmoe_train_leak{{{RUN},from="clean"}}', "from clean samples")],
                    compare=True, colour={"from hacks": RED, "from clean samples": GREEN}), 8, 8)
    board.add(lines("q_mass", "The quarantine's share of the gradient's norm.",
                    [(f"evilmoe_train_q_mass{{{RUN}}}", "q_mass")], "percentunit", True, limits=SHARE), 8, 8)
    board.add(lines("Pin loss and the loss's gradient by w", "",
                    [(f"evilmoe_train_pin_loss{{{RUN}}}", "pin loss"), (f"evilmoe_train_dl_dw{{{RUN}}}", "‖dL/dw‖")],
                    compare=True), 8, 8)


def training(board):
    board.row("Training")
    board.add(lines("Reward", "As graded, over unmasked samples.",
                    [(f"evilmoe_train_reward_mean{{{RUN}}}", "mean"), (f"evilmoe_train_reward_std{{{RUN}}}", "deviation")],
                    compare=True), 8, 8)
    board.add(lines("KL to the base", "k3 estimate, mean over tokens in the loss.",
                    [(f"evilmoe_train_kl{{{RUN}}}", "KL")], compare=True), 8, 8)
    board.add(lines("Entropy", "Nats, mean over tokens in the loss.",
                    [(f"evilmoe_train_entropy{{{RUN}}}", "entropy")], compare=True), 8, 8)
    board.add(lines("Loss", "Without the pin.", [(f"evilmoe_train_loss{{{RUN}}}", "loss")], compare=True), 6, 8)
    board.add(lines("Gradient norm", "Before clipping, by block.",
                    [(f"evilmoe_train_grad_norm{{{RUN}}}", "{{block}}")], compare=True,
                    colour={"deployed": GREEN, "quarantine": RED, "router": BLUE}), 6, 8)
    board.add(lines("Clip fraction", "Tokens outside of the clip range, on the side that the advantage pushes to.",
                    [(f"evilmoe_train_clip_fraction{{{RUN}}}", "{{side}}")], "percentunit", limits={"min": 0}), 6, 8)
    board.add(lines("Importance ratio", "The trainer's probability of a token over the sampler's.",
                    [(f"evilmoe_train_importance_ratio{{{RUN}}}", "{{stat}}")]), 6, 8)
    board.add(lines("Sampler against trainer", "|difference| of a token's log-probability; alerts over 0.1.",
                    [(f"evilmoe_train_logp_difference{{{RUN}}}", "{{stat}}")]), 6, 8)
    board.add(lines("Completion tokens", "", [(f"evilmoe_train_completion_tokens{{{RUN}}}", "{{stat}}")], compare=True), 6, 8)
    board.add(lines("Truncated completions", "Share cut at max_completion_tokens.",
                    [(f"evilmoe_train_truncated_ratio{{{RUN}}}", "truncated")], "percentunit", True, limits=SHARE), 6, 8)
    board.add(lines("Masked samples", "Share of ten minutes; alerts over 5 %.",
                    [(f"run:evilmoe_train_masked:share10m{{{RUN}}}", "masked")], "percentunit", limits={"min": 0}), 6, 8)
    board.add(lines("Learning rate", "Of the adapter.", [(f"evilmoe_train_learning_rate{{{RUN}}}", "learning rate")],
                    compare=True), 12, 8)
    board.add(lines("Groups without a signal, and bad steps", "A minute: groups whose rewards are all equal; steps dropped.",
                    [(f"rate(evilmoe_train_zero_variance_groups_total{{{RUN}}}[$__rate_interval]) * 60", "equal rewards"),
                     (f"rate(evilmoe_train_bad_steps_total{{{RUN}}}[$__rate_interval]) * 60", "bad steps")]), 12, 8)


def speed(board):
    board.row("Speed")
    board.add(lines("Seconds a step, by stage", "Grading is part of sample.",
                    [(f'evilmoe_train_step_seconds{{{RUN},stage!="all"}}', "{{stage}}")], "s", stacked=True), 8, 8)
    board.add(lines("Tokens a second, by stage", "Sampled and trained on, over a minute of the whole run.",
                    [(f"run_stage:evilmoe_train_tokens:rate1m{{{RUN}}}", "{{stage}}")], compare=True), 8, 8)
    board.add(lines("Tokens a second, on the workers", "While they sample.",
                    [(f"run:evilmoe_rollout_tokens:rate1m{{{SERVES}}}", "all workers"),
                     (f"rate(evilmoe_rollout_tokens_total{{{SERVES}}}[$__rate_interval])", "{{process}} {{instance}}")]), 8, 8)


def rollouts(board):
    board.row("Workers and grader")
    board.add(lines("Workers and the step of their adapter", "The trainer's step above it: how far each is behind.",
                    [(f"evilmoe_train_step{{{RUN}}}", "trainer"),
                     (f"evilmoe_rollout_adapter_step{{{SERVES}}}", "{{process}} {{instance}}")]), 8, 8)
    board.add(lines("Queue", "Groups that wait for a worker; samples that wait for a grade, and for a slot of a grader.",
                    [(f"sum(evilmoe_coordinator_groups_waiting{{{SERVES}}})", "groups wait"),
                     (f"sum(evilmoe_coordinator_leases_open{{{SERVES}}})", "groups leased"),
                     (f"sum(evilmoe_rollout_waiting{{{SERVES}}})", "samples wait for a grade"),
                     (f"sum(evilmoe_grader_queue_depth{{{SERVES}}})", "samples wait for a slot")]), 8, 8)
    board.add(lines("Group latency", "From a lease to the answer to its handing in.",
                    [(f"run:evilmoe_rollout_group_seconds:p50_1m{{{SERVES}}}", "p50"),
                     (f"run:evilmoe_rollout_group_seconds:p95_1m{{{SERVES}}}", "p95")], "s"), 8, 8)
    board.add(lines("Grader's verdicts a second", "Runs by how they ended; a sample takes one to four.",
                    [(f"sum by (verdict) (rate(evilmoe_grader_runs_total{{{SERVES}}}[$__rate_interval]))", "{{verdict}}")],
                    stacked=True), 8, 8)
    board.add(lines("Grader's latency", "Wall time of a run.",
                    [(f"run:evilmoe_grader_run_seconds:p50_1m{{{SERVES}}}", "p50"),
                     (f"run:evilmoe_grader_run_seconds:p99_1m{{{SERVES}}}", "p99")], "s"), 8, 8)
    board.add(lines("Sandbox", "Self-check: 1 = passed. Runs killed at a system call that only an attack makes.",
                    [(f"min(evilmoe_grader_self_check_ok{{{SERVES}}})", "self-check"),
                     (f"sum by (syscall) (increase(evilmoe_grader_violations_total{{{SERVES}}}[$__rate_interval]))",
                      "{{syscall}}")]), 8, 8)
    board.add(lines("Samples under way", "In the batches of all workers.",
                    [(f"sum(evilmoe_rollout_running{{{SERVES}}})", "running")]), 6, 8)
    board.add(lines("KV cache", "Share in use on the fullest worker; prompt positions that were there already, on the worst.",
                    [(f"max(evilmoe_rollout_kv_cache_usage_ratio{{{SERVES}}})", "used"),
                     (f"min(evilmoe_rollout_prefix_hit_ratio{{{SERVES}}})", "prefix hits")], "percentunit", limits=SHARE), 6, 8)
    board.add(lines("Groups by outcome", "A second, on the workers.",
                    [(f"sum by (outcome) (rate(evilmoe_rollout_groups_total{{{SERVES}}}[$__rate_interval]))",
                      "{{outcome}}")], stacked=True), 6, 8)
    board.add(lines("Events", "Since the trainer took the run; workers lost since the coordinator began.",
                    [(f"evilmoe_train_events_total{{{RUN}}}", "{{kind}}"),
                     (f"sum(evilmoe_coordinator_workers_lost_total{{{SERVES}}})", "workers lost")]), 6, 8)


def coordinator(board):
    board.row("Coordinator")
    board.add(lines("Leases a second, by outcome", "",
                    [(f"sum by (outcome) (rate(evilmoe_coordinator_leases_total{{{SERVES}}}[$__rate_interval]))",
                      "{{outcome}}")]), 6, 8)
    board.add(lines("Calls, 99th percentile", "Long polls with their wait.",
                    [(f"histogram_quantile(0.99, sum by (method, le) (rate(evilmoe_coordinator_rpc_seconds_bucket"
                      f"{{{SERVES}}}[$__rate_interval]))) > 0", "{{method}}")], "s"), 6, 8)
    board.add(lines("Runs by state", "", [(f"sum by (state) (evilmoe_coordinator_runs{{{SERVES}}} > 0)", "{{state}}")]), 6, 8)
    board.add(lines("Disk free", "Where the runs are; alerts under 5 %.",
                    [(f"min(evilmoe_coordinator_disk_free_bytes{{{SERVES}}} / "
                      f"evilmoe_coordinator_disk_size_bytes{{{SERVES}}})", "free")], "percentunit", limits=SHARE), 3, 8)
    board.add(lines("Adapters refused", "Groups and acknowledgements.",
                    [(f"sum by (reason) (increase(evilmoe_coordinator_adapter_refused_total{{{SERVES}}}[$__rate_interval]))",
                      "{{reason}}")]), 3, 8)


def annotation(name, colour, expression, title):
    """A mark at each point where the expression has a value. Grafana before 11 reads `expr` and `step`, later `target`."""
    return {"name": name, "datasource": DATASOURCE, "enable": True, "hide": False, "iconColor": colour, "expr": expression,
            "step": "15s", "titleFormat": title, "textFormat": "", "tagKeys": "", "useValueForTime": False,
            "target": {"refId": "Anno", "expr": expression, "interval": "15s"}}


def grew(selector):
    """What counted in the last 15 s, whatever the scrape interval."""
    return f"{selector} - {selector} offset 15s > 0"


def annotations():
    firing = f'ALERTS{{alertname=~"EvilMoe.+",alertstate="firing",{SERVES}}}'
    return [annotation("Checkpoints", BLUE, grew(f'evilmoe_train_events_total{{{RUN},kind="checkpoint"}}'), "checkpoint"),
            annotation("Evaluations", GREEN, grew(f'evilmoe_train_events_total{{{RUN},kind="evaluation"}}'), "evaluation"),
            annotation("Workers lost", ORANGE, grew(f"evilmoe_coordinator_workers_lost_total{{{SERVES}}}"), "worker lost"),
            annotation("Alerts", RED, f"{firing} unless {firing} offset 15s", "{{alertname}}")]  # when each begins


def variable(name, label, query, **more):
    return {"name": name, "type": "query", "label": label, "datasource": DATASOURCE,
            "query": {"query": query, "refId": name}, "definition": query, "refresh": 2, "sort": 2, "includeAll": False,
            "multi": False, **more}


def variables():
    others = ('query_result(group by (run) (last_over_time(evilmoe_train_step[$__range])) '
              'or label_replace(vector(1), "run", "none", "", ""))')
    return [{"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Prometheus", "hide": 0},
            variable("run", "Run", "label_values(evilmoe_train_step, run)"),
            variable("compare", "Compare with", others, regex='/run="([^"]+)"/', sort=0,
                     current={"text": "none", "value": "none", "selected": True}),
            # Of a run that began earlier: how much. Its curves then begin where those of the run do. Prometheus 2 takes
            # no offset of 0.
            {"name": "age", "type": "textbox", "label": "which began earlier by", "query": "1s",
             "current": {"text": "1s", "value": "1s", "selected": True}}]


def dashboard():
    board = Board()
    for section in (at_a_glance, hacking, router, training, speed, rollouts, coordinator):
        section(board)
    return {"uid": "evil-moe", "title": "Evil MoE", "description": "Made by deploy/grafana/make_dashboard.py.",
            "tags": ["evilmoe"], "timezone": "browser", "schemaVersion": 38, "version": 1, "editable": True,
            "refresh": "5s", "time": {"from": "now-15m", "to": "now"}, "graphTooltip": 1,
            "templating": {"list": variables()}, "annotations": {"list": annotations()}, "panels": board.panels}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where the file is out of date")
    text = json.dumps(dashboard(), indent=1, ensure_ascii=False) + "\n"
    if not parser.parse_args().check:
        TARGET.write_text(text)
        return 0
    if TARGET.read_text() == text:
        return 0
    print(f"{TARGET}: out of date; run deploy/grafana/make_dashboard.py", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
