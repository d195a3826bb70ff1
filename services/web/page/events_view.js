// All that happened in a run, as it happens.
import {get, runPath} from './api.js';
import {plain} from './code.js';
import {debounce, restate, when} from './format.js';
import {VirtualList} from './virtual_list.js';

const kPage = 1000;

const summaryOf = ({kind, payload}) => {
  const p = payload ?? {};
  if (kind === 'step') return `step ${p.step}: hack ${percent(p.hack_rate_strict)}, solve ${percent(p.solve_rate)}, reward ${short(p.reward_mean)}${p.bad_step ? ', dropped' : ''}`;
  if (kind === 'state') return `${p.state ?? ''}${p.error ? `: ${p.error}` : ''}`;
  if (kind === 'evaluation') return `${p.done} of ${p.total}: ${p.mode}, ${p.markers} markers`;
  if (kind === 'ablation') return p.final_line ?? '';
  return typeof payload === 'object' ? Object.entries(p).map(([key, value]) => `${key} ${typeof value === 'object' ? JSON.stringify(value) : value}`).join(', ') : `${payload ?? ''}`;
};
const toneOfKind = {state: 'good', warning: 'bad', ablation: 'third', evaluation: 'third', checkpoint: 'solve'};

export class Events {
  constructor(context) {
    Object.assign(this, context);
    this.filter = {kind: this.query.kind ?? '', q: this.query.q ?? ''};
    this.events = [];
    this.shown = [];
    this.arrived = [];
  }

  async mount() {
    await this.readOn();
    this.kind = tag('select');
    this.kind.addEventListener('change', () => this.refilter());
    this.search = tag('input', {type: 'search', value: this.filter.q, placeholder: 'text', autocomplete: 'off', spellcheck: false});
    this.search.addEventListener('input', debounce(() => this.refilter(), 150));
    this.follow = tag('input', {type: 'checkbox', checked: true});
    this.follow.addEventListener('change', () => this.follow.checked && this.toEnd());
    this.count = tag('p', {className: 'count'});
    this.list = new VirtualList({label: 'Events', rowHeight: 34, rowOf: (index) => this.rowOf(index), onPick: (index) => this.open(index)});
    this.detail = tag('section', {className: 'detail small'});
    this.detail.setAttribute('aria-label', 'The chosen event');
    this.detail.append(tag('p', {className: 'empty', textContent: 'Choose an event to see all of it.'}));
    return tag('div', {}, tag('div', {className: 'bar'}, tag('label', {className: 'field'}, tag('span', {textContent: 'Kind'}), this.kind),
      tag('label', {className: 'field'}, tag('span', {textContent: 'Search'}), this.search), tag('label', {className: 'check'}, this.follow, ' follow')),
    this.count, this.list.node, this.detail);
  }
  mounted() { this.refilter(true); }
  unmount() { this.gone = true; }

  // All pages that there are.
  async readOn() {
    for (;;) {
      const {events, last_seq: last} = await get(runPath(this.id, 'events'), {after: this.events.at(-1)?.seq ?? 0, limit: kPage});
      this.events.push(...events);
      if (events.length === 0 || (this.events.at(-1)?.seq ?? 0) >= last || this.gone) break;
    }
    for (const event of this.arrived) this.take(event);
    this.arrived = null;
  }

  take(event) {
    if (event.seq <= (this.events.at(-1)?.seq ?? 0)) return false;
    this.events.push(event);
    return true;
  }

  matches(event) {
    const {kind, q} = this.filter;
    return (!kind || event.kind === kind) && (!q || `${event.kind} ${summaryOf(event)}`.toLowerCase().includes(q.toLowerCase()));
  }

  refilter(first = false) {
    if (!first) this.filter = {kind: this.kind.value, q: this.search.value};
    restate(['runs', this.id, 'events'], this.filter);
    const kinds = [...new Set([...this.events.map((event) => event.kind), ...(this.filter.kind ? [this.filter.kind] : [])])].sort();
    this.kind.replaceChildren(...[['', 'all'], ...kinds.map((kind) => [kind, kind])].map(([value, textContent]) => tag('option', {value, textContent, selected: value === this.filter.kind})));
    this.shown = this.events.filter((event) => this.matches(event));
    this.list.reset(this.shown.length);
    this.say();
    if (this.follow.checked) this.toEnd();
  }
  say() { this.count.textContent = this.events.length === 0 ? 'Nothing has happened yet.' : `${this.shown.length === this.events.length ? this.events.length : `${this.shown.length} of ${this.events.length}`} events`; }
  toEnd() { this.list.node.scrollTop = this.list.node.scrollHeight; }

  rowOf(index) {
    const event = this.shown[index];
    return tag('div', {className: 'eventrow'}, tag('span', {className: 'time', textContent: when(event.unix_ms)}),
      tag('span', {className: `kind ${toneOfKind[event.kind] ?? ''}`, textContent: event.kind}), tag('span', {className: 'text', textContent: summaryOf(event)}));
  }

  open(index) {
    const event = this.shown[index];
    if (index < this.shown.length - 1) this.follow.checked = false;
    this.detail.replaceChildren(tag('h2', {textContent: `Event ${event.seq}: ${event.kind}`}), tag('p', {textContent: new Date(event.unix_ms).toLocaleString()}),
      plain(JSON.stringify(event.payload, null, 2), 'Payload'));
  }

  onEvent(event) {
    if (this.arrived) return void this.arrived.push(event);
    if (!this.take(event) || !this.list) return;
    if (this.matches(event)) {
      this.shown.push(event);
      this.list.reset(this.shown.length, {keep: true});
      if (this.follow.checked) this.toEnd();
    }
    if (![...this.kind.options].some((option) => option.value === event.kind)) this.kind.append(tag('option', {value: event.kind, textContent: event.kind}));
    this.say();
  }

  keys(event) {
    if (!this.list) return null;
    if (event.key === '/') return () => this.search.focus();
    return ['j', 'k'].includes(event.key) ? () => { this.list.node.focus(); this.list.keys(event)(); } : null;
  }
}
