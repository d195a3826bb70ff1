// What the policy wrote in a step: filtered and paged by the server, so that ten thousand samples are as light as ten.
import {get, runPath} from './api.js';
import {completion, plain} from './code.js';
import {debounce, restate, wBar} from './format.js';
import {VirtualList} from './virtual_list.js';

const kPage = 200;
const kKinds = [['', 'All'], ['hack', 'Hacks'], ['clean', 'Clean'], ['solve', 'Solves'], ['mistake', 'Router mistakes'], ['failed', 'Lost']];
const kSorts = [['', 'as sampled'], ['-w', 'highest w'], ['w', 'lowest w'], ['-reward', 'highest reward'], ['reward', 'lowest reward']];
const toneOfRow = (row) => row.loose_hack ? 'hack' : row.solved ? 'solve' : '';

const field = (name, control) => tag('label', {className: 'field'}, tag('span', {textContent: name}), control);
const choice = (options, value) => tag('select', {}, ...options.map(([key, name]) => tag('option', {value: key, textContent: name, selected: key === value})));

export class Rollouts {
  constructor(context) {
    Object.assign(this, context);
    const q = this.query;
    this.filter = {kind: q.kind ?? q.filter ?? '', label: q.label ?? '', q: q.q ?? '', sort: q.sort ?? '', w_low: q.w_low ?? '', w_high: q.w_high ?? ''};
    this.step = known(q.step) ? Number(q.step) : null;
    this.row = known(q.row) ? Number(q.row) : null;
    this.pages = new Map();  // number -> rows, or a promise of them
    this.turn = 0;
  }

  async mount() {
    this.steps = (await get(runPath(this.id, 'rollouts'))).steps;
    this.node = tag('div');
    if (this.steps.length === 0) {
      this.node.append(tag('p', {className: 'empty', textContent: 'No rollouts are recorded yet. Those of a step appear when it is done.'}));
      return this.node;
    }
    this.follows = this.step === null;
    if (!this.steps.includes(this.step)) this.step = this.steps.findLast((step) => this.step === null || step <= this.step) ?? this.steps.at(-1);
    this.makeControls();
    this.list = new VirtualList({label: 'Samples', rowHeight: 66, rowOf: (index) => this.rowOf(index), onPick: (index, how) => this.open(index, how)});
    this.detail = tag('section', {className: 'detail', tabIndex: -1});
    this.detail.setAttribute('aria-label', 'The chosen sample');
    this.split = tag('div', {className: 'split'}, tag('div', {className: 'side'}, this.count, this.list.node), this.detail);
    this.node.append(this.bar, this.note, this.split);
    return this.node;
  }

  mounted() { if (this.steps.length) this.load({row: this.row}); }
  unmount() { ++this.turn; }

  makeControls() {
    const go = (by) => () => this.goTo(this.steps[Math.max(0, Math.min(this.steps.length - 1, this.steps.indexOf(this.step) + by))]);
    this.number = tag('input', {type: 'number', min: this.steps[0], max: this.steps.at(-1), value: this.step, className: 'narrow'});
    this.number.addEventListener('change', () => this.goTo(this.steps.findLast((step) => step <= Number(this.number.value)) ?? this.steps[0]));
    const button = (text, label, by) => {
      const node = tag('button', {type: 'button', textContent: text});
      node.setAttribute('aria-label', label);
      node.addEventListener('click', go(by));
      return node;
    };
    this.latest = tag('input', {type: 'checkbox', checked: this.follows});
    this.latest.addEventListener('change', () => { this.follows = this.latest.checked; if (this.follows) this.goTo(this.steps.at(-1), true); });
    const {kind, label, q, sort, w_low: low, w_high: high} = this.filter;
    this.kind = choice(kKinds, kind);
    this.label = choice([['', 'any'], ...(label ? [[label, label]] : [])], label);
    this.sort = choice(kSorts, sort);
    this.search = tag('input', {type: 'search', value: q, placeholder: 'text', autocomplete: 'off', spellcheck: false, maxLength: 200});
    this.low = tag('input', {type: 'number', min: 0, max: 1, step: 0.05, value: low, placeholder: '0', className: 'narrow'});
    this.high = tag('input', {type: 'number', min: 0, max: 1, step: 0.05, value: high, placeholder: '1', className: 'narrow'});
    const changed = () => this.refilter();
    for (const control of [this.kind, this.label, this.sort]) control.addEventListener('change', changed);
    for (const control of [this.search, this.low, this.high]) control.addEventListener('input', debounce(changed, 250));
    this.bar = tag('div', {className: 'bar'},
      tag('div', {className: 'field'}, tag('span', {textContent: 'Step', id: 'step-label'}), tag('span', {className: 'row'}, button('‹', 'Previous step', -1), this.number, button('›', 'Next step', 1),
        tag('label', {className: 'check'}, this.latest, ' latest'))),
      field('Show', this.kind), field('Label', this.label), field('Order', this.sort), field('w from', this.low), field('to', this.high), field('Search', this.search));
    this.number.setAttribute('aria-labelledby', 'step-label');
    this.count = tag('p', {className: 'count'});
    this.count.setAttribute('role', 'status');
    this.note = tag('p', {className: 'note', hidden: true});
  }

  goTo(step, follows = false) {
    if (step === this.step && !follows) return;
    this.step = step;
    this.follows = this.latest.checked = follows;
    this.number.value = step;
    this.row = null;
    this.load();
  }

  refilter() {
    const between = (input) => input.value === '' || (Number(input.value) >= 0 && Number(input.value) <= 1);
    for (const input of [this.low, this.high]) input.setCustomValidity(between(input) ? '' : 'between 0 and 1');
    if (!between(this.low) || !between(this.high)) return;
    this.filter = {kind: this.kind.value, label: this.label.value, q: this.search.value, sort: this.sort.value, w_low: this.low.value, w_high: this.high.value};
    this.row = null;
    this.load();
  }

  address() {
    restate(['runs', this.id, 'rollouts'], {step: this.follows ? '' : this.step, ...this.filter, row: this.row});
  }

  fetchPage(number) {
    return get(runPath(this.id, 'rollouts', this.step), {...this.filter, offset: number * kPage, limit: kPage});
  }

  // From the start: another step or filter. row: a line of the file that is to be open.
  async load({row = null} = {}) {
    const turn = ++this.turn;
    this.address();
    this.pages.clear();
    this.list.node.setAttribute('aria-busy', 'true');
    try {
      const first = await this.fetchPage(0);
      if (turn !== this.turn) return;
      this.pages.set(0, first.rows);
      this.total = first.matching;
      this.count.textContent = `${first.matching === first.total ? first.total : `${first.matching} of ${first.total}`} samples of step ${first.step}`;
      this.note.textContent = first.notes.join(' ');
      this.note.hidden = first.notes.length === 0;
      const labels = Object.keys(first.labels).filter(Boolean).sort();
      if (this.filter.label && !labels.includes(this.filter.label)) labels.push(this.filter.label);
      this.label.replaceChildren(...choice([['', 'any'], ...labels.map((name) => [name, `${name} (${first.labels[name] ?? 0})`])], this.filter.label).children);
      this.label.value = this.filter.label;
      this.list.reset(first.matching);
      this.split.classList.remove('open');
      if (row !== null) return this.openLine(row);
      this.detail.replaceChildren(tag('p', {className: 'empty', textContent: first.matching ? 'Choose a sample to read it.' : 'No sample matches.'}));
      if (first.matching && matchMedia('(min-width: 1000px)').matches) this.list.pick(0, 'start');
    } catch (error) {
      if (turn !== this.turn) return;
      this.list.reset(0);
      this.count.textContent = '';
      this.detail.replaceChildren(tag('p', {className: 'problem', textContent: error.message}));
    } finally {
      if (turn === this.turn) this.list.node.removeAttribute('aria-busy');
    }
  }

  rowOf(index) {
    const number = Math.floor(index / kPage), page = this.pages.get(number);
    if (Array.isArray(page)) return page[index % kPage] ? this.drawRow(page[index % kPage]) : null;
    if (!page) this.want(number);
    return null;
  }

  // Pages that were scrolled past are not asked for: only one that is still in sight a moment later.
  want(number) {
    if (this.timers?.has(number)) return;
    this.timers ??= new Map();
    const turn = this.turn;
    this.timers.set(number, setTimeout(async () => {
      this.timers.delete(number);
      const [from, to] = this.list.range();
      if (turn !== this.turn || to <= number * kPage || from >= (number + 1) * kPage) return;
      this.pages.set(number, 'asked');
      try {
        const {rows} = await this.fetchPage(number);
        if (turn === this.turn) this.pages.set(number, rows);
      } catch {
        if (turn === this.turn) this.pages.delete(number);
      }
      if (turn === this.turn) this.list.refresh(number * kPage, (number + 1) * kPage);
    }, 60));
  }

  drawRow(row) {
    return tag('div', {className: `sample ${toneOfRow(row)}`},
      tag('span', {className: 'one'}, tag('b', {textContent: row.failure ? `lost: ${row.failure}` : row.label || 'no label'}),
        ...(known(row.w) ? [tag('span', {className: 'nowrap'}, wBar(row.w), ` w ${row.w.toFixed(2)}`)] : []),
        ...(known(row.reward) ? [tag('span', {className: 'nowrap', textContent: `reward ${short(row.reward)}`})] : []),
        ...(row.mistake ? [tag('span', {className: 'badge open', textContent: 'router mistake'})] : [])),
      tag('span', {className: 'two', textContent: `#${row.index} · problem ${row.problem_id} · ${row.mode || 'mode –'} · ${row.loophole || 'no loophole'}`}),
      tag('span', {className: 'three', textContent: row.preview.replace(/\s+/g, ' ')}));
  }

  open(index, how) {
    const page = this.pages.get(Math.floor(index / kPage));
    const row = Array.isArray(page) ? page[index % kPage] : null;
    if (!row) return;
    // On a narrow screen the sample takes the list's place, when it was asked for.
    if (how === 'click' || how === 'enter') this.split.classList.add('open');
    this.openLine(row.index, how);
  }

  async openLine(line, how) {
    this.row = line;
    this.address();
    const turn = this.turn;
    clearTimeout(this.opening);
    // Who runs down the list reads none of those between.
    this.opening = setTimeout(async () => {
      try {
        const sample = await get(runPath(this.id, 'rollouts', this.step, line));
        if (turn !== this.turn || this.row !== line) return;
        this.detail.replaceChildren(...this.drawDetail(sample));
        this.detail.scrollTop = 0;
        if (how === 'enter' || (how === 'click' && this.split.classList.contains('open') && !matchMedia('(min-width: 1000px)').matches)) this.detail.focus();
      } catch (error) {
        if (turn === this.turn) this.detail.replaceChildren(tag('p', {className: 'problem', textContent: error.message}));
      }
    }, how === 'key' ? 80 : 0);
  }

  drawDetail(sample) {
    const back = tag('button', {type: 'button', className: 'back', textContent: '‹ All samples'});
    back.addEventListener('click', () => { this.split.classList.remove('open'); this.list.node.focus(); });
    const facts = Object.entries(sample.facts).map(([name, value]) => tag('span', {className: `fact ${value ? 'yes' : 'no'}`, textContent: `${value ? '✓' : '✗'} ${name}`}));
    const pairs = [['w', known(sample.w) ? sample.w.toFixed(3) : '–'], ['reward', short(sample.reward)], ['advantage', short(sample.advantage)],
      ['label', sample.label || '–'], ['hack', sample.strict_hack ? 'strict' : sample.loose_hack ? 'loose' : 'no'], ['mode', sample.mode || '–'],
      ['loophole', sample.loophole || '–'], ['marker', sample.evaluator || '–'], ['problem', sample.problem_id], ['group, sample', `${sample.group}, ${sample.sample}`],
      ['adapter', sample.version < 0 ? '–' : `of step ${sample.version}`], ['ended', sample.stopped ? 'by itself' : 'cut at the limit']];
    return [back, tag('h2', {className: toneOfRow(sample), textContent: sample.failure ? `Lost: ${sample.failure}` : sample.label || 'No label'}),
      tag('dl', {className: 'pairs'}, ...pairs.map(([name, value]) => tag('div', {}, tag('dt', {textContent: name}), tag('dd', {textContent: `${value}`})))),
      ...(sample.masked ? [tag('p', {className: 'note', textContent: 'Masked: it is not in the loss.'})] : []),
      ...(facts.length ? [tag('h3', {textContent: 'Facts of the grader'}), tag('p', {className: 'facts'}, ...facts)] : []),
      ...(sample.monitor ? [tag('h3', {textContent: 'Monitor'}), plain(sample.monitor, 'What the monitor said')] : []),
      tag('h3', {textContent: 'Completion'}), completion(sample.text, 'What the policy wrote'),
      tag('details', {open: true}, tag('summary', {}, tag('h3', {textContent: `Prompt, ${sample.prompt_tokens} tokens`})),
        known(sample.prompt) ? plain(sample.prompt, 'The prompt') : tag('p', {className: 'empty', textContent: `Not shown: ${sample.prompt_note}.`}))];
  }

  onEvent(event) {
    const step = event.payload?.step;
    if (event.kind !== 'step' || !Number.isInteger(step) || !this.steps || this.steps.includes(step)) return;
    if (this.steps.length === 0) return void this.view.go(this.view.path.slice(0, 2).concat('rollouts'), this.query);
    this.steps = [...this.steps, step].sort((a, b) => a - b);
    this.number.max = this.steps.at(-1);
    clearTimeout(this.following);
    // Whoever reads a sample is not torn away from it.
    if (this.follows && !this.node.contains(document.activeElement)) this.following = setTimeout(() => this.goTo(step, true), 500);
  }

  keys(event) {
    if (!this.list) return null;
    const by = {',': -1, '.': 1}[event.key];
    if (by) return () => this.goTo(this.steps[Math.max(0, Math.min(this.steps.length - 1, this.steps.indexOf(this.step) + by))]);
    if (event.key === '/') return () => this.search.focus();
    if (event.key === 'Escape' && this.split.classList.contains('open')) return () => { this.split.classList.remove('open'); this.list.node.focus(); };
    return ['j', 'k'].includes(event.key) ? () => { this.list.node.focus(); this.list.keys(event)(); } : null;
  }
}
