// The frame of the page: which view is shown, the stream that keeps it live, keys, colours, the token.
import {ApiError, LiveStream, act, get, onTokenNeeded} from './api.js';
import {parseHash} from './format.js';
import {showHelp, askToken, confirmAction} from './dialogs.js';
import {RunsView} from './runs_view.js';
import {RunView} from './run_view.js';
import {CompareView} from './compare_view.js';

const page = {
  session: {may_act: false, asks_for_token: false},
  runs: new Map(),        // id -> summary, as they last were
  selected: new Set(),    // ids to compare
  view: null, stream: null, streamRun: undefined,
};

// ---- colours ----
const schemes = ['system', 'light', 'dark'];
const themeOf = () => document.documentElement.dataset.theme ?? 'system';
const showTheme = () => {
  const theme = themeOf();
  byId('theme').textContent = {system: '◐', light: '☀', dark: '☾'}[theme];
  byId('theme').setAttribute('aria-label', `Colours: ${theme}. Change`);
  byId('theme').title = `Colours: ${theme}`;
};
const nextTheme = () => {
  const theme = schemes[(schemes.indexOf(themeOf()) + 1) % schemes.length];
  if (theme === 'system') delete document.documentElement.dataset.theme; else document.documentElement.dataset.theme = theme;
  try { localStorage.setItem('evilmoe.theme', theme); } catch { /* not kept */ }
  showTheme();
};

// ---- messages ----
const toast = (text, tone = '') => {
  const node = tag('p', {className: `toast ${tone}`, textContent: text});
  byId('toasts').append(node);
  setTimeout(() => node.remove(), 8000);
};

let lostTimer = null;
const showLost = ({message, retryAt}) => {
  const banner = byId('lost');
  clearInterval(lostTimer);
  byId('link').className = 'link lost';
  byId('link').textContent = 'not connected';
  const text = tag('span');
  const button = tag('button', {type: 'button', textContent: 'Try now'});
  button.addEventListener('click', () => page.stream?.retryNow());
  const say = () => { text.textContent = `${message} What is shown may be old; trying again in ${Math.max(0, Math.ceil((retryAt - Date.now()) / 1000))} s.`; };
  say();
  // The clock ticks for the eye; a screen reader hears the message once.
  if (banner.hidden || !banner.contains(document.activeElement)) banner.replaceChildren(text, button);
  banner.hidden = false;
  lostTimer = setInterval(say, 1000);
};
const showLive = () => {
  clearInterval(lostTimer);
  byId('lost').hidden = true;
  byId('link').className = 'link live';
  byId('link').textContent = 'live';
};

// ---- the stream ----
const takeRun = (run) => {
  page.runs.set(run.run_id, run);
  page.view?.onRun?.(run);
};
const openStream = (run, after) => {
  page.stream?.close();
  page.stream = new LiveStream({
    run, after,
    onMessage: (kind, data) => {
      if (kind === 'runs') {
        for (const one of data) page.runs.set(one.run_id, one);
        page.view?.onRuns?.(data);
      } else if (kind === 'run') takeRun(data);
      else if (kind === 'event') page.view?.onEvent?.(data);
    },
    onState: (state, detail) => {
      if (state === 'lost') return showLost(detail);
      const wasLost = !byId('lost').hidden;
      showLive();
      if (wasLost) page.view?.onReconnect?.();
    },
  });
};

// ---- views ----
const routes = {runs: (path) => path.length === 1 ? RunsView : RunView, compare: () => CompareView};

const showProblem = (host, error) => {
  const again = tag('button', {type: 'button', textContent: 'Try again'});
  again.addEventListener('click', () => show());
  const missing = error.status === 404;
  host.replaceChildren(tag('h1', {textContent: missing ? 'Not there' : 'This could not be loaded', tabIndex: -1}),
    tag('p', {className: 'problem', textContent: error.message}),
    tag('p', {className: 'row'}, again, tag('a', {href: '#/runs', textContent: 'All runs'})));
};

let shownOnce = false;
let turn = 0;
const show = async () => {
  const mine = ++turn;
  const {path, query} = parseHash(location.hash || '#/runs');
  const host = byId('view');
  const View = (routes[path[0]] ?? (() => RunsView))(path);
  // Within a run the frame stays, and with it what is loaded.
  if (page.view instanceof View && page.view.takes?.(path)) {
    page.view.go(path, query);
  } else {
    page.view?.unmount?.();
    host.replaceChildren(tag('p', {className: 'loading', textContent: 'Loading …'}));
    host.setAttribute('aria-busy', 'true');
    cursor.step = null;
    const view = new View({page, path, query, toast, openStream, runAction});
    page.view = view;
    try {
      const content = await view.mount();
      if (mine !== turn) return view.unmount?.();
      host.replaceChildren(content);
      view.mounted?.();
    } catch (error) {
      if (mine !== turn) return;
      page.view = null;
      if (!(error instanceof ApiError)) console.error(error);
      showProblem(host, error instanceof ApiError ? error : new ApiError('The page has a mistake; see the browser\'s console.', 0));
      if (!page.stream) openStream(null, 0);
    }
    host.removeAttribute('aria-busy');
  }
  const here = path[0] === 'compare' ? 'nav-compare' : 'nav-runs';
  for (const id of ['nav-runs', 'nav-compare']) {
    if (id === here) byId(id).setAttribute('aria-current', 'page'); else byId(id).removeAttribute('aria-current');
  }
  document.title = `${page.view?.title ?? 'Evil MoE'} · Evil MoE`;
  // A reader without eyes learns where it is now.
  if (shownOnce) (host.querySelector('[data-focus]') ?? host.querySelector('h1'))?.focus({preventScroll: true});
  shownOnce = true;
};

// Asks where that is wise, acts, says what came of it.
const runAction = async (run, action) => {
  if (action === 'cancel' && !await confirmAction(`Cancel ${run.name || run.run_id}?`, 'Its trainer stops after the step that it works on. Retry goes on from the last checkpoint.', 'Cancel the run')) return;
  try {
    const {run: now} = await act(run.run_id, action);
    takeRun(now);
    toast(`${action}: ${now.name || now.run_id} is ${now.state}`);
  } catch (error) {
    toast(`${action}: ${error.message}`, 'bad');
  }
};

// ---- keys ----
const typing = (node) => node.closest?.('input:not([type=checkbox]):not([type=radio]):not([type=range]), textarea, select, [contenteditable]');
document.addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector('dialog[open]')) return;
  if (typing(event.target)) {
    if (event.key === 'Escape') event.target.blur();
    return;
  }
  const keys = {'?': () => showHelp(), t: nextTheme, r: () => { location.hash = '#/runs'; }, c: () => { location.hash = '#/compare'; }};
  const act = page.view?.keys?.(event) ?? keys[event.key];
  if (!act) return;
  event.preventDefault();
  act();
});

byId('skip').addEventListener('click', (event) => {
  event.preventDefault();
  byId('view').focus();
});
byId('theme').addEventListener('click', nextTheme);
byId('help-button').addEventListener('click', () => showHelp());
showTheme();
onTokenNeeded(askToken);
addEventListener('hashchange', show);
if (!location.hash) history.replaceState(null, '', '#/runs');

const start = async () => {
  try {
    page.session = await get('session');
  } catch { /* the view says what is wrong */ }
  await show();
};
start();
