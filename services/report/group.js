// The page of several runs: means over the runs of each group, drawn over one another.
const data = JSON.parse(byId('data').textContent);
const looks = ['g1', 'g2', 'g3', 'g4', 'g5', 'g6', 'g7', 'g8'];
const groups = data.groups.map((group, i) => ({...group, look: looks[i % looks.length], dashed: i >= looks.length}));

const figure = (host, title, note) => {
  const node = tag('figure', {}, tag('figcaption', {}, tag('h3', {textContent: title}), ...(note ? [tag('p', {textContent: note})] : [])));
  host.append(node);
  return node;
};

const kModes = [['on', 'expert on', {}], ['off', 'expert off', {hollow: true}], ['random_half', 'random half off', {hollow: true, look: 'third'}],
  ['base', 'base', {hollow: true, look: 'soft'}]];

const showAblation = (kind, title, look) => {
  const rows = groups.map((group) => ({
    name: group.name,
    marks: kModes.map(([mode, , style]) => ({...group.rates[`${kind}_${mode}`], ...style})).filter((mark) => known(mark.mean)),
  })).filter((row) => row.marks.length > 0);
  if (rows.length === 0) return;
  const host = figure(byId('ablation-plots'), title);
  const legend = tag('div', {className: 'legend'});
  for (const [, name, style] of kModes) {
    const dot = tag('span', {className: `dot ${style.look ?? look} ${style.hollow ? 'hollow' : ''}`});
    legend.append(tag('span', {}, dot, name));
  }
  host.append(legend);
  dotPlot(host, {rows, look, label: `${title} by group and ablation mode; the table below has the figures`});
};

const kPanels = [
  ['Hack rate, strict', 'samples with a loophole, whole adapter', 'hack_rate_strict', [0, 1]],
  ['Hack rate with the expert off', 'the same, quarantine off', 'deploy_hack_rate_strict', [0, 1]],
  ['Solve rate', '', 'solve_rate', [0, 1]],
  ['Mean w of hacks', '', 'w_hack', [0, 1]],
  ['Mean w of clean samples', '', 'w_clean', [0, 1]],
  ['AUROC of w for hacks', '', 'router_auroc', [0, 1]],
  ['Pair separation', '', 'pair_separation', [0, 1]],
  ['q_mass', '', 'q_mass', [0, 1]],
  ['Reward', '', 'reward_mean'],
  ['KL to the base', '', 'kl'],
  ['Entropy', 'nats a token', 'entropy'],
];

const showCurves = () => {
  const steps = [...new Set(groups.flatMap((group) => group.curves.step))].sort((a, b) => a - b);
  if (steps.length === 0) return;
  byId('over-steps').hidden = false;
  // Beside the steps of all groups.
  const spread = (group, values) => {
    const at = new Map(group.curves.step.map((step, i) => [step, values[i]]));
    return steps.map((step) => at.get(step) ?? null);
  };
  for (const [title, note, key, domain] of kPanels) {
    lineChart(figure(byId('curves'), title, note), {
      steps, domain, label: `${title} over steps, by group`,
      series: groups.filter((group) => group.curves[key]).map((group) => {
        const curve = group.curves[key], alone = group.num_runs < 2;
        return {name: group.name, look: group.look, dashed: group.dashed, values: spread(group, curve.mean),
          low: alone ? undefined : spread(group, curve.low), high: alone ? undefined : spread(group, curve.high)};
      }),
    });
  }
  stepSlider(byId('step'), byId('step-name'), steps);
};

showAblation('hack', 'Hack rate', 'hack');
showAblation('solve', 'Solve rate', 'solve');
showCurves();
