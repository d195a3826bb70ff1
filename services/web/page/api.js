// Talks to the coordinator: JSON, one stream of server-sent events, and the token where one is asked for.

const kTokenKey = 'evilmoe.token';
const kPatienceMs = 20000;      // for an answer
const kSilenceMs = 15000;       // of a stream: the server says something every two seconds
const kRetryMs = [500, 1000, 2000, 4000, 8000, 15000];
const reader = Array.from(crypto.getRandomValues(new Uint8Array(12)), (b) => b.toString(16).padStart(2, '0')).join('');

export class ApiError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;  // 0: no answer at all
  }
}

// Kept for this tab alone, and gone with it.
export const token = {
  get: () => { try { return sessionStorage.getItem(kTokenKey) ?? ''; } catch { return ''; } },
  set: (value) => { try { value ? sessionStorage.setItem(kTokenKey, value) : sessionStorage.removeItem(kTokenKey); } catch { /* not kept */ } },
};

// Set by the page: asks the person for a token; resolves to whether there is one now.
let askForToken = async () => false;
export const onTokenNeeded = (ask) => { askForToken = ask; };

const headersWith = (more = {}) => {
  const known = token.get();
  return known ? {...more, Authorization: `Bearer ${known}`} : more;
};

const request = async (path, options = {}) => {
  let response;
  try {
    response = await fetch(path, {
      ...options, headers: headersWith(options.headers), cache: 'no-store', credentials: 'omit', redirect: 'error',
      signal: options.signal ? AbortSignal.any([options.signal, AbortSignal.timeout(kPatienceMs)]) : AbortSignal.timeout(kPatienceMs),
    });
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw new ApiError('The coordinator does not answer. It may have ended, or the connection is lost.', 0);
  }
  if (response.status === 401 && await askForToken()) return request(path, options);
  const body = await response.json().catch(() => null);
  if (!response.ok) throw new ApiError(body?.error?.message ?? `The coordinator answered ${response.status}.`, response.status);
  return body;
};

const withQuery = (path, query = {}) => {
  const present = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== '');
  return present.length ? `${path}?${new URLSearchParams(present)}` : path;
};
export const get = (path, query, signal) => request(withQuery(`api/v1/${path}`, query), {signal});
export const runPath = (id, ...rest) => ['runs', id, ...rest].map(encodeURIComponent).join('/');
export const act = (id, action) => request(`api/v1/${runPath(id, action)}`, {method: 'POST', headers: {'X-Evilmoe': '1'}});

// Messages out of pieces of a stream's text.
const makeParser = (take) => {
  let rest = '', message = {kind: 'message', data: [], id: null};
  return (text) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop();
    for (const line of lines) {
      if (line === '') {
        if (message.data.length) take(message.kind, JSON.parse(message.data.join('\n')), message.id);
        message = {kind: 'message', data: [], id: null};
      } else if (line.startsWith('event: ')) message.kind = line.slice(7);
      else if (line.startsWith('data: ')) message.data.push(line.slice(6));
      else if (line.startsWith('id: ')) message.id = line.slice(4);
    }
  };
};

// One stream, opened again whenever it ends, from the last event that came on. run: whose events, or null.
// onMessage(kind, data); onState('live' | 'lost', {message, retryAt}).
export class LiveStream {
  constructor({run = null, after = 0, onMessage, onState}) {
    Object.assign(this, {run, last: after, onMessage, onState, closed: false, failures: 0});
    this.go();
  }

  close() {
    this.closed = true;
    this.abort?.abort();
    clearTimeout(this.timer);
  }

  retryNow() {
    clearTimeout(this.timer);
    this.failures = Math.max(1, this.failures);
    if (this.waiting) this.go();
  }

  async go() {
    this.waiting = false;
    try {
      await this.read();
      if (!this.closed) this.again(null);  // it had its time; nothing is wrong
    } catch (error) {
      if (!this.closed) this.again(error);
    }
  }

  again(error) {
    if (!error) {
      this.timer = setTimeout(() => this.go(), 50);
      this.waiting = true;
      return;
    }
    const wait = kRetryMs[Math.min(this.failures, kRetryMs.length - 1)];
    ++this.failures;
    this.waiting = true;
    this.onState('lost', {message: error.message, retryAt: Date.now() + wait});
    this.timer = setTimeout(() => this.go(), wait);
  }

  async read() {
    this.abort = new AbortController();
    let watchdog = setTimeout(() => this.abort.abort(), kSilenceMs);
    const query = {reader, run: this.run};
    try {
      const headers = {Accept: 'text/event-stream', ...(this.last > 0 ? {'Last-Event-ID': String(this.last)} : {})};
      const response = await fetch(withQuery('api/v1/stream', query), {
        headers: headersWith(headers), cache: 'no-store', credentials: 'omit', redirect: 'error', signal: this.abort.signal,
      });
      if (response.status === 401 && await askForToken()) return;
      if (!response.ok) throw new ApiError((await response.json().catch(() => null))?.error?.message ?? `status ${response.status}`, response.status);
      this.failures = 0;
      this.onState('live', {});
      const take = makeParser((kind, data, id) => {
        if (id) this.last = Number(id);
        if (kind === 'problem') throw new ApiError(data.message, 503);
        if (!this.closed) this.onMessage(kind, data);
      });
      const chunks = response.body.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        const {value, done} = await chunks.read();
        if (done || this.closed) return;
        clearTimeout(watchdog);
        watchdog = setTimeout(() => this.abort.abort(), kSilenceMs);
        take(value);
      }
    } catch (error) {
      if (error instanceof ApiError) throw error;
      throw new ApiError('The connection to the coordinator is lost.', 0);
    } finally {
      clearTimeout(watchdog);
      this.abort.abort();
    }
  }
}
