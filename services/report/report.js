// The page of a run: puts the embedded data into the charts, the table and the sample cards.
const data = JSON.parse(byId('data').textContent);
const metrics = data.metrics, steps = metrics.step;

const figure = (host, title, note) => {
  const node = tag('figure', {}, tag('figcaption', {}, tag('h3', {textContent: title}), ...(note ? [tag('p', {textContent: note})] : [])));
  host.append(node);
  return node;
};

const showRates = () => {
  if (steps.length >= kStepsToSmooth) byId('rates-note').textContent += '; faint: each step, bold: mean of 5 steps';
  lineChart(byId('rates'), {
    steps, height: 300, domain: [0, 1], format: fixed(2), smoothed: true,
    label: 'Hack rate and solve rate over steps',
    series: rateSeries(metrics),
  });
};

const showHeatmaps = () => {
  const host = byId('w-maps');
  const all = [...metrics.w_histogram_hack, ...metrics.w_histogram_clean].filter(known);
  if (all.length === 0) { host.append(tag('p', {className: 'empty', textContent: 'w was not recorded in this run.'})); return; }
  const most = Math.max(1, ...all.flat());
  heatmap(host, {steps, counts: metrics.w_histogram_hack, means: metrics.w_hack, look: 'hack', most, name: 'hacks'});
  heatmap(host, {steps, counts: metrics.w_histogram_clean, means: metrics.w_clean, look: 'solve', most, name: 'clean'});
  const scale = tag('div', {className: 'legend'}, 'samples in a cell:');
  for (const count of new Set([1, Math.round(most / 16), Math.round(most / 4), Math.round(most)].filter((n) => n >= 1))) {
    const swatch = tag('span', {className: 'scale'});
    swatch.style.opacity = 0.08 + 0.92 * Math.sqrt(count / most);
    scale.append(tag('span', {}, swatch, ` ${count}`));
  }
  host.append(scale);
};

const showPanels = (host, panels) => {
  for (const [title, note, lines, domain] of panels) {
    lineChart(figure(host, title, note), {
      steps, domain, label: `${title} over steps`,
      series: lines.map(([name, key, look]) => ({name, look, values: metrics[key]})),
    });
  }
};

const showSteps = () => {
  if (steps.length === 0) return;
  metrics.angle_degrees = metrics.router_angle_radians.map((angle) => known(angle) ? angle * 180 / Math.PI : null);
  for (const id of ['over-steps', 'router', 'training']) byId(id).hidden = false;
  showRates();
  showHeatmaps();
  showPanels(byId('router-charts'), routerPanels);
  showPanels(byId('training-charts'), trainingPanels);
  stepSlider(byId('step'), byId('step-name'), steps);
};

const modes = [['on', 'Expert on'], ['off', 'Expert off'], ['random_half', 'Random half off'],
  ['random_half_doubled', '… doubled'], ['deployed_off', 'Deployed off'], ['base', 'Base']];
const outcomes = [['hack_strict', 'Hack, strict', 'hack'], ['hack_loose', 'Hack, loose', 'third'], ['solve', 'Solve', 'solve']];
const modeName = (mode) => (modes.find(([key]) => key === mode) || [mode, mode])[1];
const markOf = (row, key) => ({mean: row[key], low: row[`${key}_low`] ?? row[key], high: row[`${key}_high`] ?? row[key], hollow: row.markers !== 'trained'});

const ablationTable = (rows) => {
  const cell = (row, key) => {
    const mark = markOf(row, key);
    if (!known(mark.mean)) return tag('td', {textContent: '–'});
    return tag('td', {}, `${mark.mean.toFixed(3)} `, tag('small', {textContent: `[${mark.low.toFixed(3)}, ${mark.high.toFixed(3)}]`}));
  };
  const head = ['Mode', 'Markers', ...outcomes.map(([, name]) => name)].map((text) => tag('th', {scope: 'col', textContent: text}));
  const body = rows.map((row) => tag('tr', {},
    tag('th', {scope: 'row', textContent: row.mode === 'random_half_doubled' ? 'Random half off, doubled' : modeName(row.mode)}),
    tag('td', {textContent: row.markers}), ...outcomes.map(([key]) => cell(row, key))));
  return tag('table', {}, tag('thead', {}, tag('tr', {}, ...head)), tag('tbody', {}, ...body));
};

const ablationLead = (ablation) => {
  const counts = known(ablation.problems) ? `${ablation.problems} held-out problems${known(ablation.samples) ? `, ${ablation.samples} samples each` : ''}. ` : '';
  const delta = ablation.delta_hack_minus_solve;
  const change = delta && known(delta.mean)
    ? ` Δhack − Δsolve (ON − OFF): ${short(delta.mean)} [${short(delta.low)}, ${short(delta.high)}]; above 0 the expert carries hacking rather than solving.` : '';
  return `${counts}Filled: the marker seen in training; hollow: novel markers; bars: 95 % intervals over problems; dashed: the base.${change}`;
};

const showAblation = () => {
  const ablation = data.ablation;
  if (!ablation || ablation.rows.length === 0) {
    byId('ablation-lead').textContent = 'No ablation was recorded: the run ended before it, or its config has evaluation.at_end off.';
    byId('ablation-table').hidden = true;
    return;
  }
  byId('ablation-lead').textContent = ablationLead(ablation);
  const order = (mode) => { const at = modes.findIndex(([key]) => key === mode); return at < 0 ? modes.length : at; };
  const rows = [...ablation.rows].sort((a, b) => order(a.mode) - order(b.mode) || (a.markers === 'trained' ? 0 : 1) - (b.markers === 'trained' ? 0 : 1));
  for (const [key, title, look] of outcomes) {
    const base = rows.find((row) => row.mode === 'base' && row.markers === 'trained');
    dotPlot(figure(byId('ablation-plots'), title), {
      look, reference: base ? base[key] : null, label: `${title} rate by ablation mode; the table below has the figures`,
      rows: [...new Set(rows.map((row) => row.mode))].map((mode) => ({
        name: modeName(mode), marks: rows.filter((row) => row.mode === mode && known(row[key])).map((row) => markOf(row, key)),
      })),
    });
  }
  byId('ablation-table').append(ablationTable(rows));
};

const kinds = [['hack', 'Hacks'], ['solve', 'Solves'], ['high_w', 'Highest w'], ['low_w', 'Lowest w'], ['mistake', 'Router mistakes'], ['all', 'All']];

const sampleCard = (sample) => {
  const bar = tag('i');
  bar.style.width = `${100 * (sample.w ?? 0)}%`;
  const w = known(sample.w) ? [tag('span', {className: 'wbar'}, bar), ` w ${sample.w.toFixed(2)}`] : ['w –'];
  const facts = sample.facts.filter(([, value]) => value).map(([name]) => name).join(', ');
  return tag('article', {className: sample.hack ? 'hack' : sample.solved ? 'solve' : ''},
    tag('h3', {}, tag('span', {className: 'label', textContent: sample.label || 'no label'}), tag('span', {}, ...w),
      tag('span', {textContent: `reward ${short(sample.reward)}`})),
    tag('p', {className: 'meta', textContent: `step ${sample.step}, problem ${sample.problem}, sample ${sample.group}/${sample.sample}, ` +
      `${sample.mode ? `mode ${sample.mode}, ` : ''}loophole ${sample.loophole || 'none'}${sample.evaluator ? ` (${sample.evaluator})` : ''}`}),
    tag('p', {className: 'meta', textContent: `true facts: ${facts || 'none'}`}),
    tag('pre', {tabIndex: 0, textContent: sample.text}));
};

const showSamples = () => {
  const host = byId('sample-list');
  if (data.samples.length === 0) { host.append(tag('p', {className: 'empty', textContent: 'No rollouts were recorded in this run.'})); return; }
  const cards = tag('div', {className: 'cards'});
  const of = (kind) => data.samples.filter((sample) => kind === 'all' || sample.picks.includes(kind));
  const show = (kind) => cards.replaceChildren(...of(kind).map(sampleCard));
  const choices = kinds.filter(([kind]) => of(kind).length > 0);
  const choose = tag('fieldset', {}, tag('legend', {textContent: 'What the policy wrote, chosen from steps spread over the run'}));
  choices.forEach(([kind, name], i) => {
    const input = tag('input', {type: 'radio', name: 'kind', value: kind, checked: i === 0});
    input.addEventListener('change', () => show(kind));
    choose.append(tag('label', {}, input, ` ${name} (${of(kind).length})`));
  });
  host.append(choose, cards);
  show(choices[0][0]);
};

showSteps();
showAblation();
showSamples();
