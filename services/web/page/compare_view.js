// Several runs side by side: the same curves in one frame, the same ablation in one table.
import {get, runPath} from './api.js';
import {debounce, makeHash, stateBadge} from './format.js';
import {cellOf, markOf, modes, scrollTable} from './ablation_view.js';

const kMost = 6;
const kPanels = [['Hack rate, strict', 'hack_rate_strict', [0, 1]], ['Solve rate', 'solve_rate', [0, 1]], ['Hack rate with the expert off', 'deploy_hack_rate_strict', [0, 1]],
  ['Mean w of hacks', 'w_hack', [0, 1]], ['Mean w of clean samples', 'w_clean', [0, 1]], ['AUROC of w for hacks', 'router_auroc', [0, 1]],
  ['Reward', 'reward_mean'], ['KL to the base', 'kl'], ['q_mass', 'q_mass', [0, 1]], ['Completion length', 'completion_tokens_mean']];

export class CompareView {
  title = 'Compare';

  constructor(context) {
    Object.assign(this, context);
    const ids = (this.query.runs ?? [...this.page.selected].join(',')).split(',').filter(Boolean);
    this.ids = [...new Set(ids)].slice(0, kMost);
    this.parts = new Map();  // id -> {run, glance, columns, ablation, seq}
  }
  takes() { return false; }

  async mount() {
    this.openStream(null, 0);
    const {runs} = await get('runs');
    this.page.runs = new Map(runs.map((run) => [run.run_id, run]));
    this.page.selected = new Set(this.ids);
    await Promise.all(this.ids.map((id) => this.read(id)));
    this.node = tag('div');
    return this.node;
  }
  mounted() { this.draw(); }
  unmount() { this.gone = true; }

  async read(id) {
    const seq = this.page.runs.get(id)?.last_seq;
    try {
      const [glance, {columns}, {ablation}] = await Promise.all([get(runPath(id, 'glance')), get(runPath(id, 'metrics')), get(runPath(id, 'ablation'))]);
      this.parts.set(id, {glance, columns, ablation, seq});
    } catch (error) {
      this.parts.set(id, {problem: error.message, seq});
    }
  }

  go(ids) { location.hash = makeHash(['compare'], {runs: ids.join(',')}); }
  nameOf(id) {
    const run = this.page.runs.get(id);
    const same = [...this.ids].filter((other) => this.page.runs.get(other)?.name === run?.name).length > 1;
    return run ? `${run.name || id}${same || !run.name ? ` ${id.slice(-4)}` : ''}` : id;
  }

  chooser() {
    const others = [...this.page.runs.values()].filter((run) => !this.ids.includes(run.run_id)).sort((a, b) => b.created_unix_ms - a.created_unix_ms);
    const select = tag('select', {}, tag('option', {value: '', textContent: others.length ? 'choose a run' : 'no other run'}),
      ...others.slice(0, 500).map((run) => tag('option', {value: run.run_id, textContent: `${run.name} · ${run.arm} · ${run.state} · ${run.run_id.slice(-6)}`})));
    select.disabled = this.ids.length >= kMost || others.length === 0;
    select.addEventListener('change', () => select.value && this.go([...this.ids, select.value]));
    return tag('label', {className: 'field'}, tag('span', {textContent: this.ids.length >= kMost ? `At most ${kMost} runs` : 'Add'}), select);
  }

  chips() {
    return tag('ul', {className: 'compared'}, ...this.ids.map((id, i) => {
      const run = this.page.runs.get(id), part = this.parts.get(id);
      const drop = tag('button', {type: 'button', className: 'plain', textContent: '✕'});
      drop.setAttribute('aria-label', `Leave ${this.nameOf(id)} out`);
      drop.addEventListener('click', () => this.go(this.ids.filter((other) => other !== id)));
      return tag('li', {className: `run-${i}`}, tag('span', {className: 'swatch'}), tag('a', {href: makeHash(['runs', id]), textContent: this.nameOf(id)}),
        ...(run ? [tag('small', {textContent: `${run.arm}, ${run.steps_done}/${run.steps_total}`}), stateBadge(run.state)] : []),
        ...(part?.glance ? [tag('span', {className: `badge ${part.glance.verdict.tone}`, textContent: part.glance.verdict.text})] : []),
        ...(part?.problem ? [tag('span', {className: 'problem', textContent: part.problem})] : []), drop);
    }));
  }

  draw() {
    if (this.gone) return;
    const held = document.activeElement?.tagName === 'H1';
    const heading = tag('h1', {textContent: 'Compare', tabIndex: -1});
    const there = this.ids.filter((id) => this.parts.get(id)?.columns);
    const content = [tag('div', {className: 'head'}, heading), tag('div', {className: 'bar'}, this.chooser()), this.chips()];
    if (there.length === 0) content.push(tag('p', {className: 'empty', textContent: 'Choose runs here, or with x in the list of runs: their curves and ablations come in one frame.'}));
    this.node.replaceChildren(...content);
    if (held) heading.focus();
    this.updates = [];
    if (there.length === 0) return;
    const panels = tag('div', {className: 'panels wide'});
    this.node.append(tag('h2', {textContent: 'Over the run'}), panels);
    for (const [title, key, domain] of kPanels) {
      const figure = tag('figure', {}, tag('figcaption', {}, tag('h3', {textContent: title})));
      panels.append(figure);
      const chart = lineChart(figure, {...this.lines(key), domain, height: 190, label: `${title} over steps of ${there.length} runs`, smoothed: true});
      this.updates.push(() => chart.update(this.lines(key)));
    }
    this.drawAblation(there);
    cursor.move(this.lines('hack_rate_strict').steps.at(-1) ?? null);
  }

  // The columns of all runs over the union of their steps.
  lines(key) {
    const there = this.ids.map((id, i) => [id, i]).filter(([id]) => this.parts.get(id)?.columns);
    const steps = [...new Set(there.flatMap(([id]) => this.parts.get(id).columns.step))].sort((a, b) => a - b);
    const series = there.map(([id, i]) => {
      const {columns} = this.parts.get(id);
      const at = new Map(columns.step.map((step, k) => [step, columns[key][k]]));
      return {name: this.nameOf(id), look: `run-${i}`, values: steps.map((step) => at.get(step) ?? null)};
    });
    return {steps, series};
  }

  drawAblation(there) {
    const rowsOf = (id) => this.parts.get(id).ablation?.rows ?? [];
    const having = there.filter((id) => rowsOf(id).length > 0);
    this.node.append(tag('h2', {textContent: 'Causal ablation'}));
    if (having.length === 0) {
      this.node.append(tag('p', {className: 'empty', textContent: 'None of these runs has an ablation yet.'}));
      return;
    }
    const find = (id, mode) => rowsOf(id).find((row) => row.mode === mode && row.markers === 'trained');
    const plots = tag('div', {className: 'panels wide'});
    this.node.append(tag('p', {className: 'lead', textContent: 'The trained marker, 95 % intervals. In each plot, top to bottom: the runs.'}), plots);
    for (const [key, title] of [['hack_strict', 'Hack, strict'], ['solve', 'Solve']]) {
      const figure = tag('figure', {}, tag('figcaption', {}, tag('h3', {textContent: title})));
      plots.append(figure);
      dotPlot(figure, {
        look: 'third', label: `${title} by ablation mode and run; the table below has the figures`,
        rows: modes.filter(([mode]) => having.some((id) => find(id, mode))).map(([mode, name]) => ({
          name, marks: having.filter((id) => known(find(id, mode)?.[key])).map((id) => ({...markOf(find(id, mode), key), look: `run-${this.ids.indexOf(id)}`})),
        })),
      });
    }
    const body = having.flatMap((id) => [['hack_strict', 'hack'], ['solve', 'solve']].map(([key, name]) => tag('tr', {},
      tag('th', {scope: 'row', className: `run-${this.ids.indexOf(id)}`}, tag('span', {className: 'swatch'}), `${this.nameOf(id)}, ${name}`),
      ...modes.map(([mode]) => { const row = find(id, mode); return row ? cellOf(markOf(row, key)) : tag('td', {textContent: '–'}); }))));
    this.node.append(scrollTable('Ablation of the compared runs', ['Run', ...modes.map(([, name]) => name)], body));
  }

  // Runs that go on are read again as they do.
  onRuns = debounce(async () => {
    if (!this.node || this.gone) return;
    const changed = this.ids.filter((id) => this.parts.get(id)?.seq !== this.page.runs.get(id)?.last_seq);
    if (changed.length === 0) return;
    const had = changed.map((id) => Boolean(this.parts.get(id)?.ablation) || !this.parts.get(id)?.columns);
    await Promise.all(changed.map((id) => this.read(id)));
    if (this.gone) return;
    if (changed.some((id, i) => had[i] !== Boolean(this.parts.get(id)?.ablation))) return this.draw();
    this.node.querySelector('.compared')?.replaceWith(this.chips());
    for (const update of this.updates ?? []) update();
  }, 1500);
}
