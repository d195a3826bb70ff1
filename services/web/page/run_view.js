// One run: its head, which stays, and one of its tabs.
import {get, runPath} from './api.js';
import {actionsOf, duration, isActive, makeHash, progress, stateBadge, when} from './format.js';
import {Overview} from './overview.js';
import {Rollouts} from './rollouts_view.js';
import {Ablation} from './ablation_view.js';
import {Events} from './events_view.js';
import {Logs} from './logs_view.js';
import {Config} from './config_view.js';

const kTabs = [['', 'Overview', Overview], ['rollouts', 'Rollouts', Rollouts], ['ablation', 'Ablation', Ablation],
  ['events', 'Events', Events], ['logs', 'Logs', Logs], ['config', 'Config', Config]];
const kActionNames = {pause: 'Pause', resume: 'Resume', cancel: 'Cancel', retry: 'Retry'};

export class RunView {
  constructor(context) {
    Object.assign(this, context);
    this.id = this.path[1];
    this.title = this.id;
    this.tab = null;
  }

  takes(path) { return this.body && path[0] === 'runs' && path[1] === this.id; }

  async mount() {
    const whole = await get(runPath(this.id));
    if (this.gone) return tag('div');  // another view is there by now, with a stream of its own
    Object.assign(this, {run: whole.run, config: whole.config, glance: whole});
    this.page.runs.set(this.id, this.run);
    this.title = this.run.name || this.id;
    this.heading = tag('h1', {textContent: this.title, tabIndex: -1});
    this.line = tag('p', {className: 'runline'});
    this.actions = tag('div', {className: 'actions'});
    this.problem = tag('p', {className: 'problem'});
    this.tabs = tag('nav', {className: 'tabs'}, ...kTabs.map(([path, name]) => tag('a', {href: makeHash(['runs', this.id, ...(path ? [path] : [])]), textContent: name})));
    this.tabs.setAttribute('aria-label', 'Parts of the run');
    this.body = tag('div', {className: 'tab'});
    this.drawHead();
    this.openStream(this.id, this.run.last_seq);
    this.clock = setInterval(() => isActive(this.run.state) && this.drawLine(), 1000);
    const content = tag('div', {}, tag('p', {className: 'crumbs'}, tag('a', {href: '#/runs', textContent: 'Runs'}), ' / ', tag('span', {textContent: this.id})),
      tag('div', {className: 'head'}, this.heading, this.actions), this.line, this.problem, this.tabs, this.body);
    this.go(this.path, this.query);
    return content;
  }

  unmount() {
    clearInterval(this.clock);
    this.tab?.unmount?.();
    this.gone = true;
  }

  // Shows the tab of a path. Every tab brings its own waiting and its own errors.
  async go(path, query) {
    const index = Math.max(0, kTabs.findIndex(([name]) => name === (path[2] ?? '')));
    [...this.tabs.children].forEach((link, i) => { if (i === index) link.setAttribute('aria-current', 'page'); else link.removeAttribute('aria-current'); });
    this.tabIndex = index;
    this.tab?.unmount?.();
    const Tab = kTabs[index][2];
    const tab = this.tab = new Tab({view: this, page: this.page, id: this.id, query, toast: this.toast});
    this.body.replaceChildren(tag('p', {className: 'loading', textContent: 'Loading …'}));
    try {
      const content = await tab.mount();
      if (this.tab !== tab || this.gone) return tab.unmount?.();
      this.body.replaceChildren(content);
      tab.mounted?.();
    } catch (error) {
      if (this.tab !== tab) return;
      if (!error.status && error.status !== 0) console.error(error);
      const again = tag('button', {type: 'button', textContent: 'Try again'});
      again.addEventListener('click', () => this.go(path, query));
      this.body.replaceChildren(tag('p', {className: 'problem', textContent: error.message}), again);
    }
  }

  drawLine() {
    const {run} = this;
    const parts = [run.arm, run.sweep && `sweep ${run.sweep}`, `started ${when(run.created_unix_ms)}`,
      `${run.finished_unix_ms ? 'took' : 'for'} ${duration((run.finished_unix_ms || Date.now()) - run.created_unix_ms)}`,
      run.adapter_step >= 0 && `adapter of step ${run.adapter_step}`].filter(Boolean);
    this.line.replaceChildren(stateBadge(run.state), ' ', progress(run), tag('b', {textContent: ` step ${run.steps_done} of ${run.steps_total}`}),
      ...parts.map((text) => tag('span', {textContent: text})));
  }

  drawHead() {
    const {run, page} = this;
    this.drawLine();
    this.problem.textContent = run.error;
    this.problem.hidden = !run.error;
    const held = document.activeElement?.dataset?.action;
    const buttons = !page.session.may_act ? [] : actionsOf(run.state).map((action) => {
      const button = tag('button', {type: 'button', className: action === 'cancel' ? 'danger' : '', textContent: kActionNames[action]});
      button.dataset.action = action;
      button.addEventListener('click', () => this.runAction(this.run, action));
      return button;
    });
    this.actions.replaceChildren(...buttons);
    if (held) (buttons.find((button) => button.dataset.action === held) ?? this.heading).focus();
  }

  onRun(run) {
    if (run.run_id !== this.id) return;
    const ended = this.run.state !== run.state;
    this.run = run;
    this.drawHead();
    if (ended) this.refreshGlance();
    this.tab?.onRun?.(run);
  }
  onRuns(runs) {
    const mine = runs.find((run) => run.run_id === this.id);
    if (mine) this.onRun(mine);
  }

  onEvent(event) {
    this.tab?.onEvent?.(event);
    if (event.kind === 'ablation') this.refreshGlance();
  }

  // The verdict in words is the server's.
  async refreshGlance() {
    try {
      this.glance = await get(runPath(this.id, 'glance'));
      this.tab?.onGlance?.(this.glance);
    } catch { /* it stays as it was */ }
  }
  onReconnect() { this.refreshGlance(); this.tab?.onReconnect?.(); }

  keys(event) {
    const next = (by) => () => this.tabs.children[(this.tabIndex + by + kTabs.length) % kTabs.length].click();
    return this.tab?.keys?.(event) ?? {'[': next(-1), ']': next(1)}[event.key];
  }
}

