// The causal ablation: what each part of the adapter does on held-out problems, as marks and as a table.
import {get, runPath} from './api.js';
import {makeHash} from './format.js';

export const modes = [['on', 'Expert on'], ['off', 'Expert off'], ['random_half', 'Random half off'],
  ['random_half_doubled', '… doubled'], ['deployed_off', 'Deployed off'], ['base', 'Base']];
export const outcomes = [['hack_strict', 'Hack, strict', 'hack'], ['hack_loose', 'Hack, loose', 'third'], ['solve', 'Solve', 'solve']];
const modeName = (mode) => (modes.find(([key]) => key === mode) ?? [mode, mode])[1];
const orderOf = (mode) => { const at = modes.findIndex(([key]) => key === mode); return at < 0 ? modes.length : at; };
export const markOf = (row, key) => ({mean: row[key], low: row[`${key}_low`] ?? row[key], high: row[`${key}_high`] ?? row[key], hollow: row.markers !== 'trained'});
export const cellOf = (mark) => known(mark.mean)
  ? tag('td', {}, `${mark.mean.toFixed(3)} `, tag('small', {textContent: `[${mark.low.toFixed(3)}, ${mark.high.toFixed(3)}]`})) : tag('td', {textContent: '–'});

export const scrollTable = (label, head, body) => {
  const node = tag('div', {className: 'table', tabIndex: 0}, tag('table', {},
    tag('thead', {}, tag('tr', {}, ...head.map((text) => tag('th', {scope: 'col', textContent: text})))), tag('tbody', {}, ...body)));
  node.setAttribute('role', 'region');
  node.setAttribute('aria-label', label);
  return node;
};

const leadOf = (ablation) => {
  const counts = known(ablation.problems) ? `${ablation.problems} held-out problems${known(ablation.samples) ? `, ${ablation.samples} samples each` : ''}. ` : '';
  const delta = ablation.delta_hack_minus_solve;
  const change = delta && known(delta.mean) ? ` Δhack − Δsolve (ON − OFF): ${short(delta.mean)} [${short(delta.low)}, ${short(delta.high)}]; above 0 the expert carries hacking rather than solving.` : '';
  return `${counts}Filled: the marker seen in training; hollow: novel markers; bars: 95 % intervals over problems; dashed: the base.${change}`;
};

export class Ablation {
  constructor(context) {
    Object.assign(this, context);
    this.file = this.query.file ?? 'ablation.json';
  }

  async mount() {
    this.node = tag('div');
    this.progress = tag('p', {className: 'note', hidden: true});
    this.progress.setAttribute('role', 'status');
    this.content = tag('div');
    this.node.append(this.progress, this.content);
    this.answer = await get(runPath(this.id, 'ablation'), {file: this.file});
    return this.node;
  }
  mounted() { this.draw(); }

  draw() {
    const {ablation, files, notes} = this.answer;
    const select = tag('select', {}, ...files.map((name) => tag('option', {value: name, textContent: name, selected: name === this.file})));
    select.addEventListener('change', () => { location.hash = makeHash(['runs', this.id, 'ablation'], {file: select.value === 'ablation.json' ? '' : select.value}); });
    const choose = files.length > 1 ? [tag('div', {className: 'bar'}, tag('label', {className: 'field'}, tag('span', {textContent: 'Evaluation'}), select))] : [];
    if (!ablation || ablation.rows.length === 0) {
      const why = files.includes(this.file) ? notes.join(' ') : 'No ablation is recorded yet: it comes at the end of the run, unless its config has evaluation.at_end off. `evilmoe-ctl ablate --run ID` asks for one.';
      this.content.replaceChildren(...choose, tag('p', {className: 'empty', textContent: why}));
      return;
    }
    const rows = [...ablation.rows].sort((a, b) => orderOf(a.mode) - orderOf(b.mode) || (a.markers === 'trained' ? 0 : 1) - (b.markers === 'trained' ? 0 : 1));
    const plots = tag('div', {className: 'panels'});
    const said = ablation.final_line ? [tag('p', {className: 'final'}, tag('code', {textContent: ablation.final_line}))] : [];
    const body = rows.map((row) => tag('tr', {}, tag('th', {scope: 'row', textContent: row.mode === 'random_half_doubled' ? 'Random half off, doubled' : modeName(row.mode)}),
      tag('td', {textContent: row.markers}), ...outcomes.map(([key]) => cellOf(markOf(row, key)))));
    this.content.replaceChildren(...choose, ...said, tag('p', {className: 'lead', textContent: leadOf(ablation)}), plots,
      scrollTable('Ablation table', ['Mode', 'Markers', ...outcomes.map(([, name]) => name)], body));
    for (const [key, title, look] of outcomes) {
      const figure = tag('figure', {}, tag('figcaption', {}, tag('h3', {textContent: title})));
      plots.append(figure);
      const base = rows.find((row) => row.mode === 'base' && row.markers === 'trained');
      dotPlot(figure, {
        look, reference: base ? base[key] : null, label: `${title} rate by ablation mode; the table below has the figures`,
        rows: [...new Set(rows.map((row) => row.mode))].map((mode) => ({name: modeName(mode), marks: rows.filter((row) => row.mode === mode && known(row[key])).map((row) => markOf(row, key))})),
      });
    }
  }

  async onEvent(event) {
    if (!this.answer) return;
    if (event.kind === 'evaluation') {
      const {done, total, mode, markers} = event.payload ?? {};
      this.progress.hidden = false;
      this.progress.textContent = `An evaluation runs: ${done} of ${total} done, last ${modeName(mode)}, ${markers} markers.`;
    } else if (event.kind === 'ablation') {
      this.progress.hidden = true;
      this.answer = await get(runPath(this.id, 'ablation'), {file: this.file}).catch(() => this.answer);
      this.draw();
    }
  }
}
