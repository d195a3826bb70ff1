// What the processes of a run say, as they say it.
import {get, runPath} from './api.js';
import {bytes, debounce, restate} from './format.js';

const kFollowMs = 1500;
const kMostLines = 3000;

const toneOfLevel = {WARN: 'warn', WARNING: 'warn', ERROR: 'error'};
const kHidden = new Set(['time', 'level', 'component', 'event']);

// A line of JSON as its parts, any other as it stands.
const lineOf = (text) => {
  let json = null;
  if (text.startsWith('{')) { try { json = JSON.parse(text); } catch { /* as it stands */ } }
  if (!json || typeof json.event !== 'string') return tag('div', {textContent: text || ' '});
  const rest = Object.entries(json).filter(([key]) => !kHidden.has(key)).map(([key, value]) => `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`).join(' ');
  return tag('div', {className: toneOfLevel[json.level] ?? ''}, tag('span', {className: 'time', textContent: String(json.time ?? '').slice(11, 23)}),
    ` ${String(json.level ?? '').padEnd(5)} `, tag('b', {textContent: json.event}), ` ${rest}`);
};

export class Logs {
  constructor(context) {
    Object.assign(this, context);
    this.name = this.query.log ?? '';
    this.q = this.query.q ?? '';
  }

  async mount() {
    const {logs} = await get(runPath(this.id, 'logs'));
    this.logs = logs;
    if (logs.length === 0) return tag('div', {}, tag('p', {className: 'empty', textContent: 'This run has no logs of its own: the processes of a long-lived stack keep theirs.'}));
    if (!logs.some((log) => log.name === this.name)) this.name = (logs.find((log) => log.name === 'trainer.log') ?? logs[0]).name;
    this.select = tag('select', {}, ...logs.map(({name, size_bytes: size}) => tag('option', {value: name, textContent: `${name} (${bytes(size)})`, selected: name === this.name})));
    this.select.addEventListener('change', () => { this.name = this.select.value; this.begin(); });
    this.search = tag('input', {type: 'search', value: this.q, placeholder: 'only lines with', autocomplete: 'off', spellcheck: false});
    this.search.addEventListener('input', debounce(() => { this.q = this.search.value; this.address(); this.draw(); }, 150));
    this.follow = tag('input', {type: 'checkbox', checked: true});
    this.follow.addEventListener('change', () => this.poll());
    this.wrap = tag('input', {type: 'checkbox', checked: true});
    this.wrap.addEventListener('change', () => this.box.classList.toggle('wrap', this.wrap.checked));
    this.box = tag('div', {className: 'log wrap', tabIndex: 0});
    this.box.setAttribute('role', 'log');
    this.box.setAttribute('aria-live', 'off');
    this.box.setAttribute('aria-label', 'Log');
    this.status = tag('p', {className: 'count'});
    return tag('div', {}, tag('div', {className: 'bar'}, tag('label', {className: 'field'}, tag('span', {textContent: 'Log'}), this.select),
      tag('label', {className: 'field'}, tag('span', {textContent: 'Search'}), this.search), tag('label', {className: 'check'}, this.follow, ' follow'), tag('label', {className: 'check'}, this.wrap, ' wrap')),
    this.status, this.box);
  }
  mounted() { if (this.logs.length) this.begin(); }
  unmount() {
    this.gone = true;
    clearTimeout(this.timer);
  }

  address() { restate(['runs', this.id, 'logs'], {log: this.name, q: this.q}); }

  begin() {
    this.address();
    this.lines = [];
    this.offset = -1;
    this.box.replaceChildren();
    this.poll();
  }

  async poll() {
    clearTimeout(this.timer);
    if (this.gone) return;
    const name = this.name;
    try {
      const log = await get(runPath(this.id, 'logs', name), {offset: this.offset});
      if (name !== this.name || this.gone) return;
      const cut = this.offset < 0 && log.from > 0;
      if (log.from < this.offset) this.lines = [];  // the file began anew
      this.offset = log.to;
      const fresh = log.text === '' ? [] : log.text.replace(/\n$/, '').split('\n');
      this.lines = [...this.lines, ...fresh].slice(-kMostLines);
      this.status.textContent = `${bytes(log.size_bytes)}${cut || this.isCut ? `, the last ${this.lines.length} lines` : `, ${this.lines.length} lines`}`;
      this.isCut = cut || this.lines.length >= kMostLines;
      if (fresh.length || this.box.children.length === 0) this.draw(fresh);
      if (log.to < log.size_bytes && fresh.length) return void this.poll();
    } catch (error) {
      this.status.textContent = error.message;
    }
    if (this.follow.checked) this.timer = setTimeout(() => this.poll(), kFollowMs);
  }

  draw(fresh = null) {
    const atEnd = this.box.scrollHeight - this.box.scrollTop - this.box.clientHeight < 40 || this.box.children.length === 0;
    const q = this.q.toLowerCase();
    const lines = (fresh ?? this.lines).filter((line) => !q || line.toLowerCase().includes(q)).map(lineOf);
    if (fresh) this.box.append(...lines); else this.box.replaceChildren(...lines);
    while (this.box.children.length > kMostLines) this.box.firstChild.remove();
    if (atEnd) this.box.scrollTop = this.box.scrollHeight;
  }

  keys(event) { return event.key === '/' && this.search ? () => this.search.focus() : null; }
}
