// All runs: what each shows at a glance, live.
import {get, runPath} from './api.js';
import {debounce, duration, isActive, makeHash, progress, restate, sparkline, stateBadge, when} from './format.js';

const kRowsAtATime = 100;
const kGlancesAtATime = 3;

export class RunsView {
  title = 'Runs';

  constructor({page, query, openStream}) {
    this.page = page;
    this.openStream = openStream;
    this.filter = {q: query.q ?? '', state: query.state ?? 'all', sweep: query.sweep ?? ''};
    this.most = kRowsAtATime;
    this.rows = new Map();     // id -> parts of its row
    this.glances = new Map();  // id -> {seq, glance}
    this.wanted = [];
    this.loading = 0;
  }

  async mount() {
    this.openStream(null, 0);
    const {runs} = await get('runs');
    this.page.runs = new Map(runs.map((run) => [run.run_id, run]));
    this.search = tag('input', {type: 'search', id: 'search', value: this.filter.q, placeholder: 'name, arm, id, sweep', autocomplete: 'off', spellcheck: false});
    this.search.addEventListener('input', debounce(() => this.refilter(), 120));
    this.states = tag('fieldset', {className: 'chips'}, tag('legend', {className: 'hidden', textContent: 'State'}),
      ...[['all', 'All'], ['active', 'Active'], ['done', 'Finished'], ['trouble', 'Failed or stopped']].map(([value, name]) => {
        const input = tag('input', {type: 'radio', name: 'state', value, checked: this.filter.state === value});
        input.addEventListener('change', () => this.refilter());
        return tag('label', {}, input, ` ${name}`);
      }));
    this.compare = tag('a', {className: 'button', href: '#/compare'});
    this.count = tag('p', {className: 'count'});
    this.count.setAttribute('role', 'status');
    this.list = tag('ul', {className: 'runs'});
    this.more = tag('button', {type: 'button', textContent: 'Show more', hidden: true});
    this.more.addEventListener('click', () => { this.most += kRowsAtATime; this.draw(); });
    this.seen = new IntersectionObserver((entries) => {
      for (const entry of entries) if (entry.isIntersecting) this.want(entry.target.dataset.id);
    }, {rootMargin: '200px'});
    this.clock = setInterval(() => this.tick(), 1000);
    this.draw();
    return tag('div', {}, tag('div', {className: 'head'}, tag('h1', {textContent: 'Runs', tabIndex: -1})),
      tag('div', {className: 'bar'}, tag('label', {className: 'field'}, tag('span', {textContent: 'Search'}), this.search), this.states, this.compare),
      this.count, this.list, this.more);
  }

  unmount() {
    clearInterval(this.clock);
    this.seen?.disconnect();
  }

  refilter() {
    this.filter.q = this.search.value;
    this.filter.state = this.states.querySelector(':checked')?.value ?? 'all';
    this.most = kRowsAtATime;
    const {q, state, sweep} = this.filter;
    restate(['runs'], {q, state: state === 'all' ? '' : state, sweep});
    this.draw();
  }

  matches(run) {
    const {q, state, sweep} = this.filter;
    if (sweep && run.sweep !== sweep) return false;
    if (state === 'active' && !isActive(run.state) && run.state !== 'paused') return false;
    if (state === 'done' && run.state !== 'succeeded') return false;
    if (state === 'trouble' && !['failed', 'cancelled', 'interrupted'].includes(run.state)) return false;
    const text = `${run.name} ${run.arm} ${run.run_id} ${run.sweep} ${run.state}`.toLowerCase();
    return q.toLowerCase().split(/\s+/).every((word) => text.includes(word));
  }

  draw() {
    const all = [...this.page.runs.values()];
    const shown = all.filter((run) => this.matches(run)).sort((a, b) => b.created_unix_ms - a.created_unix_ms || (a.run_id < b.run_id ? 1 : -1));
    const active = all.filter((run) => isActive(run.state)).length;
    this.count.textContent = all.length === 0 ? '' : `${shown.length === all.length ? all.length : `${shown.length} of ${all.length}`} ${all.length === 1 ? 'run' : 'runs'}, ${active} active`;
    const nodes = shown.slice(0, this.most).map((run) => this.rowOf(run).node);
    if (nodes.length === 0) {
      nodes.push(tag('li', {className: 'empty'}, all.length === 0
        ? 'No runs yet. `evilmoe-ctl submit FILE` starts one, and it appears here.' : 'No run matches. Change the search or the state above.'));
    }
    // Only what changed moves: focus and hover stay where they are.
    nodes.forEach((node, i) => { if (this.list.children[i] !== node) this.list.insertBefore(node, this.list.children[i] ?? null); });
    while (this.list.children.length > nodes.length) this.list.lastChild.remove();
    this.more.hidden = shown.length <= this.most;
    this.drawCompare();
  }

  drawCompare() {
    const ids = [...this.page.selected].filter((id) => this.page.runs.has(id));
    this.compare.hidden = ids.length === 0;
    this.compare.textContent = ids.length < 2 ? 'Choose another to compare' : `Compare ${ids.length} runs`;
    this.compare.href = makeHash(['compare'], {runs: ids.join(',')});
  }

  rowOf(run) {
    let row = this.rows.get(run.run_id);
    if (!row) this.rows.set(run.run_id, row = this.makeRow(run));
    row.update(run);
    return row;
  }

  makeRow(run) {
    const choose = tag('input', {type: 'checkbox', checked: this.page.selected.has(run.run_id)});
    choose.setAttribute('aria-label', `Compare ${run.name || run.run_id}`);
    choose.addEventListener('change', () => {
      if (choose.checked) this.page.selected.add(run.run_id); else this.page.selected.delete(run.run_id);
      this.drawCompare();
    });
    const link = tag('a', {className: 'name', href: makeHash(['runs', run.run_id]), textContent: run.name || run.run_id});
    const facts = tag('span', {className: 'facts'}), state = tag('span', {className: 'state'}), time = tag('span', {className: 'time'});
    const glance = tag('span', {className: 'glance'}), verdict = tag('span', {className: 'verdict'});
    const node = tag('li', {}, choose, tag('span', {className: 'who'}, link, facts), state, glance, verdict, time);
    node.dataset.id = run.run_id;
    this.seen.observe(node);
    const row = {node, choose, link, time};
    row.update = (now) => {
      row.run = now;
      facts.textContent = [now.arm, now.sweep && `sweep ${now.sweep}`, now.run_id].filter(Boolean).join(' · ');
      state.replaceChildren(stateBadge(now.state), progress(now), tag('small', {textContent: `${now.steps_done}/${now.steps_total}`}));
      node.title = now.error || '';
      row.tick();
      const known = this.glances.get(now.run_id);
      if (known && known.seq !== now.last_seq) this.want(now.run_id);
    };
    row.tick = () => {
      const {created_unix_ms: created, finished_unix_ms: finished} = row.run;
      time.textContent = `${when(created)} · ${duration((finished || Date.now()) - created)}`;
    };
    row.showGlance = ({verdict: {tone, text, headline}, last, hack, solve}) => {
      const part = (name, look, value) => tag('span', {className: look}, tag('small', {textContent: name}), tag('b', {textContent: percent(value)}));
      glance.replaceChildren(sparkline([{look: 'solve', values: solve}, {look: 'hack', values: hack}],
        `hack and solve rate over ${run.name}`), part('hack', 'hack', last.hack_rate_strict), part('solve', 'solve', last.solve_rate));
      verdict.replaceChildren(tag('span', {className: `badge ${tone}`, textContent: text, title: headline}));
    };
    return row;
  }

  // Glances are read of what is in sight, a few at a time.
  want(id) {
    const known = this.glances.get(id), run = this.page.runs.get(id);
    if (!run || (known && known.seq === run.last_seq) || this.wanted.includes(id)) return;
    this.wanted.push(id);
    this.load();
  }

  async load() {
    if (this.loading >= kGlancesAtATime) return;
    const id = this.wanted.shift();
    if (!id) return;
    ++this.loading;
    const seq = this.page.runs.get(id)?.last_seq;
    try {
      const glance = await get(runPath(id, 'glance'));
      this.glances.set(id, {seq, glance});
      this.rows.get(id)?.showGlance(glance);
    } catch { /* the row says what is known */ }
    --this.loading;
    this.load();
  }

  tick() { for (const row of this.rows.values()) if (isActive(row.run.state)) row.tick(); }
  onRuns = debounce(() => this.list && this.draw(), 100);
  onRun() { this.onRuns(); }

  move(by) {
    const links = [...this.list.querySelectorAll('a.name')];
    const at = links.indexOf(document.activeElement?.closest('li')?.querySelector('a.name'));
    links[Math.max(0, Math.min(links.length - 1, at + by))]?.focus();
  }

  keys(event) {
    const row = document.activeElement?.closest?.('.runs li');
    return {
      j: () => this.move(1), k: () => this.move(-1), ArrowDown: row && (() => this.move(1)), ArrowUp: row && (() => this.move(-1)),
      x: row && (() => row.querySelector('input').click()), '/': () => this.search.focus(),
    }[event.key] || null;
  }
}
