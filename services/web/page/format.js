// Text for people.

export const when = (unixMs) => {
  if (!unixMs) return '–';
  const date = new Date(unixMs);
  const sameDay = date.toDateString() === new Date().toDateString();
  return sameDay ? date.toLocaleTimeString([], {hour: '2-digit', minute: '2-digit', second: '2-digit'})
    : date.toLocaleString([], {year: 'numeric', month: 'short', day: 'numeric', hour: '2-digit', minute: '2-digit'});
};

export const duration = (ms) => {
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor(s % 3600 / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor(s % 86400 / 3600)} h`;
};

export const bytes = (n) => n < 1024 ? `${n} B` : n < 1048576 ? `${(n / 1024).toFixed(1)} KiB` : `${(n / 1048576).toFixed(1)} MiB`;

const tones = {
  queued: 'idle', running: 'busy', pausing: 'open', paused: 'open', interrupted: 'open',
  succeeded: 'good', failed: 'bad', cancelled: 'idle',
};
export const isActive = (state) => ['queued', 'running', 'pausing'].includes(state);
export const stateBadge = (state) => tag('span', {className: `badge ${tones[state] ?? 'idle'}`, textContent: state});

// What actions a state allows, most wanted first.
export const actionsOf = (state) => ({
  queued: ['pause', 'cancel'], running: ['pause', 'cancel'], pausing: ['cancel'], paused: ['resume', 'cancel'],
  failed: ['retry'], cancelled: ['retry'], interrupted: ['retry'],
})[state] ?? [];

export const progress = (run) => {
  const bar = tag('i');
  bar.style.width = `${run.steps_total > 0 ? Math.min(100, 100 * run.steps_done / run.steps_total) : 0}%`;
  const node = tag('span', {className: 'progress'}, bar);
  node.setAttribute('role', 'img');
  node.setAttribute('aria-label', `${run.steps_done} of ${run.steps_total} steps`);
  return node;
};

const kSvg = 'http://www.w3.org/2000/svg';
export const svg = (name, attributes = {}, ...children) => {
  const node = document.createElementNS(kSvg, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
};

// series: [{look, values}] over [0, 1]; values may be null.
export const sparkline = (series, label, width = 110, height = 28) => {
  const node = svg('svg', {viewBox: `0 0 ${width} ${height}`, width, height, class: 'spark', role: 'img', 'aria-label': label});
  node.append(svg('line', {x1: 0, x2: width, y1: height - 0.5, y2: height - 0.5, class: 'floor'}));
  for (const {look, values} of series) {
    const last = Math.max(1, values.length - 1);
    let path = '';
    values.forEach((value, i) => {
      if (!known(value)) return;
      path += `${path === '' ? 'M' : 'L'}${(2 + i / last * (width - 4)).toFixed(1)} ${(2 + (1 - value) * (height - 4)).toFixed(1)}`;
    });
    if (path) node.append(svg('path', {d: path, class: look}));
  }
  return node;
};

export const wBar = (w) => {
  const bar = tag('i');
  bar.style.width = `${100 * Math.max(0, Math.min(1, w ?? 0))}%`;
  return tag('span', {className: 'wbar'}, bar);
};

// Reads and makes the part of an address behind '#'.
export const parseHash = (hash) => {
  const [path, query = ''] = hash.replace(/^#/, '').split('?');
  const decode = (text) => { try { return decodeURIComponent(text); } catch { return text; } };
  return {path: path.split('/').filter(Boolean).map(decode), query: Object.fromEntries(new URLSearchParams(query))};
};
export const makeHash = (path, query = {}) => {
  const present = Object.entries(query).filter(([, value]) => known(value) && value !== '');
  const text = present.length ? `?${new URLSearchParams(present)}` : '';
  return `#/${path.map(encodeURIComponent).join('/')}${text}`;
};

// Keeps the address of a view up to date, unless somebody has gone elsewhere already and the view is not told yet.
export const restate = (path, query) => {
  if (parseHash(location.hash).path.join('/') === path.join('/')) history.replaceState(null, '', makeHash(path, query));
};

export const debounce = (f, ms) => {
  let timer;
  return (...args) => {
    clearTimeout(timer);
    timer = setTimeout(() => f(...args), ms);
  };
};
