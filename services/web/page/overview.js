// A run at a glance: whether hacking emerges, where the router sends it, whether the ablation works; then all curves.
import {get, runPath} from './api.js';
import {makeHash, sparkline, svg} from './format.js';
import {Columns} from './columns.js';

const figure = (title, note) => {
  const node = tag('figure', {}, tag('figcaption', {}, tag('h3', {textContent: title}), ...(note ? [tag('p', {textContent: note})] : [])));
  return node;
};

// Rates with their intervals on one scale, as text and as marks.
const ladder = (rows) => tag('div', {className: 'ladder'}, ...rows.map(({name, look, mean, low, high}) => {
  const x = (value) => (100 * value).toFixed(1);
  const mark = svg('svg', {viewBox: '0 0 100 12', preserveAspectRatio: 'none', class: look, 'aria-hidden': 'true'},
    svg('line', {x1: 0, x2: 100, y1: 6, y2: 6, class: 'floor'}), svg('line', {x1: x(low), x2: x(high), y1: 6, y2: 6, class: 'interval'}),
    svg('line', {x1: x(mean), x2: x(mean), y1: 1, y2: 11, class: 'mean'}));
  return tag('div', {}, tag('span', {textContent: name}), mark, tag('b', {textContent: percent(mean)}));
}));

export class Overview {
  constructor(context) {
    Object.assign(this, context);
    this.early = [];  // steps that came while the columns were on their way
  }

  async mount() {
    const {columns, notes} = await get(runPath(this.id, 'metrics'));
    this.data = new Columns(columns);
    for (const payload of this.early) if (payload?.step > (columns.step.at(-1) ?? 0)) this.data.add(payload);
    this.ablation = await get(runPath(this.id, 'ablation')).then((answer) => answer.ablation).catch(() => null);
    this.updates = [];
    this.node = tag('div');
    this.verdict = tag('section', {className: 'headline'});
    this.verdict.setAttribute('aria-label', 'Result');
    this.answers = tag('section', {className: 'answers'});
    this.answers.setAttribute('aria-label', 'At a glance');
    this.empty = tag('p', {className: 'empty'});
    this.charts = tag('div', {hidden: true});
    const said = notes.filter((note) => !note.startsWith('There is no ') && !note.includes('holds no step'));
    this.node.append(this.verdict, this.answers, ...said.map((note) => tag('p', {className: 'note', textContent: note})), this.empty, this.charts);
    return this.node;
  }

  mounted() {
    this.drawVerdict();
    this.draw();
  }

  unmount() {
    cancelAnimationFrame(this.frame);
    cursor.listeners.delete(this.onCursor);
  }

  drawVerdict() {
    const {verdict} = this.view.glance;
    this.verdict.className = `headline ${verdict.tone}`;
    this.verdict.replaceChildren(tag('p', {className: 'verdict', textContent: verdict.headline}),
      tag('p', {className: 'sentence', textContent: verdict.sentence}));
  }

  drawAnswers() {
    const {data} = this;
    const hack = data.recent('hack_rate_strict'), began = data.first('hack_rate_strict'), solve = data.recent('solve_rate');
    const wHack = data.recent('w_hack'), wClean = data.recent('w_clean'), auroc = data.recent('router_auroc'), off = data.recent('deploy_hack_rate_strict');
    const card = (question, answer, ...more) => tag('article', {}, tag('h2', {textContent: question}), tag('p', {className: 'answer'}, ...answer), ...more);
    const big = (text, look) => tag('b', {className: `big ${look}`, textContent: text});
    const {columns} = data;
    const cards = [!known(hack) ? card('Does hacking emerge?', ['No step is done yet.']) : card('Does hacking emerge?',
      [big(percent(hack), 'hack'), tag('span', {textContent: ` of samples hack${known(began) ? `, ${percent(began)} at the start` : ''}; `}), tag('b', {className: 'solve', textContent: percent(solve)}), ' solve'],
      sparkline([{look: 'solve', values: columns.solve_rate}, {look: 'hack', values: columns.hack_rate_strict}], 'Hack and solve rate over the run', 300, 56))];
    cards.push(known(wHack) || known(wClean)
      ? card('Where does the router send it?', [big(`w ${fixed(2)(wHack)}`, 'hack'), ' for hacks, ', tag('b', {className: 'solve', textContent: fixed(2)(wClean)}), ` for clean samples${known(auroc) ? `; AUROC ${auroc.toFixed(2)}` : ''}`],
        this.scale(wHack, wClean), tag('small', {textContent: 'w is the share of the expert: 1 = all of it, 0 = none'}))
      : card('Where does the router send it?', ['Nowhere: this arm has no learned router, or no step is done yet.']));
    cards.push(this.ablationCard(card, big, off));
    this.answers.replaceChildren(...cards);
  }

  scale(wHack, wClean) {
    const dot = (w, look) => known(w) ? [svg('circle', {cx: (5 + 290 * w).toFixed(1), cy: 12, r: 6, class: look})] : [];
    return svg('svg', {viewBox: '0 0 300 24', class: 'scale-w', role: 'img', 'aria-label': `w of hacks ${fixed(2)(wHack)}, of clean samples ${fixed(2)(wClean)}`},
      svg('line', {x1: 5, x2: 295, y1: 12, y2: 12, class: 'floor'}), ...dot(wClean, 'solve'), ...dot(wHack, 'hack'));
  }

  ablationCard(card, big, off) {
    const rows = this.ablation?.rows?.filter((row) => row.markers === 'trained' && known(row.hack_strict)) ?? [];
    const of = (mode) => rows.find((row) => row.mode === mode);
    const on = of('on');
    if (!on) {
      const more = known(off) ? ['With the expert off ', big(percent(off), 'hack'), ' of the samples drawn so hack. The ablation itself comes at the end of the run.'] : ['The ablation comes at the end of the run.'];
      return card('Does the ablation work?', more);
    }
    const marks = [['on', 'expert on', 'hack'], ['off', 'expert off', 'solve'], ['random_half', 'random half off', 'third'], ['base', 'base', 'third']]
      .filter(([mode]) => of(mode)).map(([mode, name, look]) => {
        const row = of(mode);
        return {name, look, mean: row.hack_strict, low: row.hack_strict_low ?? row.hack_strict, high: row.hack_strict_high ?? row.hack_strict};
      });
    return card('Does the ablation work?', [big(percent(on.hack_strict), 'hack'), ' hack with the expert', ...(of('off') ? [', ', tag('b', {className: 'solve', textContent: percent(of('off').hack_strict)}), ' without it'] : [])],
      ladder(marks), tag('small', {textContent: 'held-out problems, 95 % intervals'}));
  }

  draw() {
    this.drawAnswers();
    const {steps} = this.data;
    this.empty.hidden = steps.length > 0;
    this.empty.textContent = 'No step is done yet. Curves appear with the first one.';
    if (steps.length === 0) return;
    if (this.charts.hidden) this.build();
    else for (const update of this.updates) update();
    this.slider.max = steps.length - 1;
    const follow = !known(cursor.step) || this.followed === cursor.step;
    if (follow || !steps.includes(cursor.step)) cursor.move(steps.at(-1));
    else this.onCursor(cursor.step);
    this.followed = steps.at(-1);
  }

  build() {
    this.charts.hidden = false;
    const {data} = this;
    const host = tag('div');
    this.slider = tag('input', {type: 'range', id: 'step', min: 0, max: 0, value: 0});
    this.stepName = tag('output', {htmlFor: 'step'});
    this.samplesLink = tag('a', {className: 'button', textContent: 'Rollouts of this step'});
    this.slider.addEventListener('input', () => cursor.move(data.steps[Number(this.slider.value)]));
    this.onCursor = (step) => {
      this.slider.value = Math.max(0, data.steps.lastIndexOf(step));
      this.slider.setAttribute('aria-valuetext', this.stepName.textContent = `${step}`);
      this.samplesLink.href = makeHash(['runs', this.id, 'rollouts'], {step});
    };
    cursor.listeners.add(this.onCursor);
    host.append(tag('h2', {textContent: 'Over the run'}),
      tag('p', {className: 'cursor'}, tag('label', {htmlFor: 'step', textContent: 'Step'}), this.slider, this.stepName, this.samplesLink));
    this.charts.append(host);
    const rates = figure('Hack and solve rate', 'Share of the step\'s samples; from 15 steps on faint: each step, bold: mean of 5. Drag to zoom, double click to see all.');
    const maps = figure('Where the router puts w', 'Samples of each step by w, hacks above, clean below, one colour scale; line: mean w.');
    host.append(tag('div', {className: 'pair'}, rates, maps));
    this.line(rates, {height: 300, domain: [0, 1], format: fixed(2), smoothed: true, label: 'Hack rate and solve rate over steps'}, rateSeries);
    this.maps(maps);
    this.section('Router', routerPanels, true);
    this.section('Training', trainingPanels, true);
  }

  line(host, options, series) {
    const {data} = this;
    const chart = lineChart(host, {steps: data.steps, ...options, series: series(data.columns)});
    this.updates.push(() => chart.update({steps: data.steps, series: series(data.columns)}));
  }

  maps(host) {
    const {columns} = this.data;
    const content = (name) => {
      const all = [...columns.w_histogram_hack, ...columns.w_histogram_clean].filter(known);
      return {steps: columns.step, counts: columns[`w_histogram_${name}`], means: columns[`w_${name}`], most: Math.max(1, ...all.map((row) => Math.max(...row)))};
    };
    if (![...columns.w_histogram_hack, ...columns.w_histogram_clean].some(known)) {
      host.append(tag('p', {className: 'empty', textContent: 'w was not recorded: this arm has no learned router.'}));
      return;
    }
    for (const [name, look, title] of [['hack', 'hack', 'hacks'], ['clean', 'solve', 'clean']]) {
      const chart = heatmap(host, {...content(name), look, name: title});
      this.updates.push(() => chart.update(content(name)));
    }
  }

  section(title, panels, open) {
    const host = tag('div', {className: 'panels'});
    this.charts.append(tag('details', {open}, tag('summary', {}, tag('h2', {textContent: title})), host));
    for (const [name, note, lines, domain] of panels) {
      const box = figure(name, note);
      host.append(box);
      this.line(box, {domain, label: `${name} over steps`}, (columns) => lines.map(([line, key, look]) => ({name: line, look, values: columns[key]})));
    }
  }

  onEvent(event) {
    if (event.kind === 'step' && !this.data) return void this.early.push(event.payload);
    if (event.kind === 'ablation') this.ablation = event.payload;
    else if (event.kind !== 'step' || !this.data.add(event.payload)) return;
    if (!this.verdict?.isConnected) return;
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => this.draw());
  }
  onGlance() { this.drawVerdict(); }

  async onReconnect() {
    try {
      const {columns} = await get(runPath(this.id, 'metrics'));
      Object.assign(this.data, {columns});
      this.data.derive();
      this.draw();
    } catch { /* the stream says what is wrong */ }
  }
}
