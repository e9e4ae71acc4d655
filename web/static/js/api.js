// Requests to the agent at this origin, and whether it answers at all.

export class RequestError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status; // 0: no answer
  }
}

// link tells whether the last request was answered. Any HTTP answer counts, an
// error as well: the agent is there.
class Link extends EventTarget {
  up = true;
  since = Date.now();
  note(up) {
    if (this.up === up) return;
    this.up = up;
    this.since = Date.now();
    this.dispatchEvent(new Event('change'));
  }
}
export const link = new Link();

export const STATUS = '/api/v1/status';
const TIMEOUT = 15000; // ms; a day's query on a busy node takes seconds, not more

// fetchJSON asks the agent and decodes the answer. It throws a RequestError, or
// an AbortError when signal ended it.
export async function fetchJSON(path, {signal, method = 'GET', body} = {}) {
  const signals = [AbortSignal.timeout(TIMEOUT)];
  if (signal) signals.push(signal);
  let res, raw;
  try {
    res = await fetch(path, {method, body, signal: AbortSignal.any(signals), headers: {Accept: 'application/json'}});
    raw = await res.text();
  } catch (err) {
    if (signal?.aborted) throw err;
    // A slow query is not a lost agent; a status that takes as long is.
    if (err.name === 'TimeoutError' && path !== STATUS) throw new RequestError(`no answer within ${TIMEOUT / 1000} s`, 504);
    link.note(false);
    throw new RequestError('the agent does not answer', 0);
  }
  link.note(true);
  let data;
  try {
    data = JSON.parse(raw);
  } catch {
    if (res.ok) throw new RequestError(`${path}: the answer is not JSON`, res.status);
  }
  if (!res.ok) throw new RequestError(reason(data) ?? (raw.slice(0, 300) || res.statusText), res.status);
  return data;
}

// reason reads an error's text: the agent's {error: {code, message}}, or the
// query API's {error: text}.
const reason = data => data?.error?.message ?? data?.error;

async function prom(path, params, signal) {
  const res = await fetchJSON(`${path}?${new URLSearchParams(params)}`, {signal});
  if (res.status !== 'success') throw new RequestError(res.error ?? 'the query was refused', 400);
  return res.data;
}

const num = s => {
  const v = Number(s === '+Inf' ? Infinity : s === '-Inf' ? -Infinity : s);
  return Number.isFinite(v) ? v : null; // NaN and infinities are gaps
};

// query evaluates PromQL at one instant: [{labels, value}].
export async function query(expr, {time = Date.now() / 1000, signal} = {}) {
  const data = await prom('/api/v1/query', {query: expr, time: time.toFixed(3)}, signal);
  if (data.resultType === 'scalar' || data.resultType === 'string') return [{labels: {}, value: num(data.result[1])}];
  return data.result.map(r => ({labels: r.metric, value: num((r.value ?? r.values?.at(-1) ?? [0, 'NaN'])[1])}));
}

// range evaluates PromQL over a window {from, to, step} in seconds: {times,
// series: [{labels, values}]} on one grid, with null where there is no data.
export async function range(expr, {from, to, step}, {signal} = {}) {
  const data = await prom('/api/v1/query_range', {query: expr, start: from, end: to, step}, signal);
  const times = [];
  for (let t = from; t <= to + 1e-6; t += step) times.push(t);
  const series = data.result.map(r => {
    const values = new Array(times.length).fill(null);
    for (const [t, v] of r.values ?? []) {
      const i = Math.round((t - from) / step);
      if (i >= 0 && i < values.length) values[i] = num(v);
    }
    return {labels: r.metric, values};
  });
  return {times, series};
}

// labelValues lists a label's values in the history.
export async function labelValues(name, signal) {
  return prom(`/api/v1/label/${encodeURIComponent(name)}/values`, {}, signal);
}
