// The time range all charts share, and the tickers that keep the page live.
import {link} from './api.js';

const KEY = 'anole.range';
export const SPANS = [[300, '5m'], [900, '15m'], [3600, '1h'], [21600, '6h'], [86400, '24h']];
const RESOLUTION = 5; // s, of the agent's history
const POINTS = 320;   // per chart, about what a chart has pixels for

// Range is a window of time: the last `span` seconds, following the clock when
// live, or a fixed [from, to] (seconds since 1970).
class Range extends EventTarget {
  span = 900;
  live = true;
  from = 0;
  to = 0;

  constructor() {
    super();
    try {
      const s = Number(localStorage.getItem(KEY));
      if (SPANS.some(([v]) => v === s)) this.span = s;
    } catch { /* storage is denied: the default */ }
  }

  // last follows the last s seconds.
  last(s) {
    this.span = s;
    this.live = true;
    try {
      localStorage.setItem(KEY, s);
    } catch { /* as above */ }
    this.#changed();
  }

  // fix stays at a window, as after dragging over a chart.
  fix(from, to) {
    const middle = (from + to) / 2, half = Math.max(to - from, 6 * RESOLUTION) / 2;
    Object.assign(this, {live: false, from: middle - half, to: middle + half});
    this.#changed();
  }

  // pause stops at the present window; resume follows the clock again.
  pause() {
    const {from, to} = this.window();
    this.fix(from, to);
  }
  resume() {
    this.live = true;
    this.#changed();
  }

  // window gives what a query needs, in seconds: from and to on the step's
  // grid, so that points do not wander from one refresh to the next; step; and
  // rate, the window of a rate() that never misses a scrape.
  window() {
    const to = this.live ? Date.now() / 1000 : this.to;
    const from = this.live ? to - this.span : this.from;
    const step = Math.max(1, Math.ceil((to - from) / POINTS / RESOLUTION)) * RESOLUTION;
    return {
      from: Math.floor(from / step) * step, to: Math.floor(to / step) * step, step,
      rate: Math.max(4 * RESOLUTION, step + RESOLUTION),
    };
  }

  #changed() {
    this.dispatchEvent(new Event('change'));
  }
}
export const timeRange = new Range();

// Ticker calls its functions now and every period ms, one call of each at a
// time, and rests while the page is hidden or the agent is gone.
class Ticker {
  #jobs = new Set();
  #period;
  #wanted;
  constructor(period, wanted) {
    this.#period = period;
    this.#wanted = wanted;
    setInterval(() => this.#wanted() && this.#all(), period);
    document.addEventListener('visibilitychange', () => !document.hidden && this.#all());
  }

  // add registers fn(signal), which may be async, and returns its removal.
  add(fn) {
    const job = {fn, run: null};
    this.#jobs.add(job);
    this.#start(job);
    return () => {
      this.#jobs.delete(job);
      job.run?.abort();
    };
  }

  // restart ends calls in flight and starts all anew.
  restart() {
    for (const job of this.#jobs) {
      job.run?.abort();
      job.run = null;
      this.#start(job);
    }
  }

  #all() {
    for (const job of this.#jobs) if (!job.run) this.#start(job);
  }

  async #start(job) {
    const run = new AbortController();
    job.run = run;
    try {
      await job.fn(run.signal);
    } catch (err) {
      // An answer that did not come is the banner's business; a bug is not.
      if (!run.signal.aborted && err.status === undefined) console.error(err);
    } finally {
      if (job.run === run) job.run = null;
    }
  }
}

const awake = () => !document.hidden;
// heartbeat goes on while the agent is gone: it is what finds it again.
export const heartbeat = new Ticker(2000, awake);
export const tickers = {
  status: new Ticker(2000, () => awake() && link.up),
  history: new Ticker(5000, () => awake() && link.up && timeRange.live),
};
timeRange.addEventListener('change', () => tickers.history.restart());
link.addEventListener('change', () => {
  if (!link.up) return;
  tickers.status.restart();
  tickers.history.restart();
});
