// One uPlot instance in an element: colours from the theme, units, stacking,
// gaps, a shared cursor, and dragging that sets the page's time range.
import uPlot from '/static/vendor/uplot/uPlot.esm.js';
import {timeRange} from './clock.js';
import * as fmt from './format.js';

const css = name => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

// faded gives a #rrggbb colour an alpha.
const faded = (hex, alpha) => {
  const n = parseInt(hex.slice(1), 16);
  return `rgba(${n >> 16}, ${(n >> 8) & 255}, ${n & 255}, ${alpha})`;
};

// cumulate turns stacked series into running sums. A moment without any of
// them stays a gap; one missing among others counts as nothing.
function cumulate(series, length) {
  const base = new Array(length).fill(0);
  const some = new Array(length).fill(false);
  const stacked = series.filter(s => s.stack && !s.hidden);
  for (const s of stacked) for (let i = 0; i < length; i++) if (s.values[i] != null) some[i] = true;
  const out = new Map();
  for (const s of stacked) {
    out.set(s, s.values.map((v, i) => some[i] ? (base[i] += v ?? 0) : null));
  }
  return out;
}

// alone lists the points with a gap on both sides, which a line cannot show.
function alone(u, i) {
  const d = u.data[i], out = [];
  for (let k = 0; k < d.length; k++) if (d[k] != null && d[k - 1] == null && d[k + 1] == null) out.push(k);
  return out.length ? out : null;
}

const linear = opts => (u, min, max) => {
  if (max == null) return [0, opts.max ?? 1];
  if (min < 0) return uPlot.rangeNum(min, max, 0.1, true);
  return [0, Math.max(opts.max ?? 0, max * 1.06) || 1];
};
const log = (u, min, max) => min == null ? [1e-6, 1e-2]
  : [10 ** Math.floor(Math.log10(min)), 10 ** Math.ceil(Math.log10(max * 1.001))];

// decades leaves a logarithmic axis its powers of ten.
const decades = (u, splits) => splits.map(v => v > 0 && Math.abs(Math.log10(v) - Math.round(Math.log10(v))) < 1e-6 ? v : null);

// powers are the steps of an axis in bytes.
const powers = Array.from({length: 50}, (_, i) => 2 ** i);

// timeLabels are 24-hour clocks, with the date where a day begins.
function timeLabels(u, splits, axis, space, step) {
  return splits.map((t, i) => {
    const d = new Date(t * 1000);
    const newDay = i > 0 && d.getHours() === 0 && d.getMinutes() === 0;
    return newDay ? d.toLocaleDateString('en-GB', {day: 'numeric', month: 'short'}) : fmt.clock(t * 1000, step < 60);
  });
}

// Plot draws series [{values, colour, stack, fill, dash, width, hidden}] over
// times (seconds). options: unit, height, log, max, sync, oncursor(index|null).
export class Plot {
  #host;
  #opts;
  #u = null;
  #shape = '';
  #window = {from: 0, to: 1};
  #series = [];
  #times = [];
  #size;
  #theme = () => this.#rebuild();

  constructor(host, opts) {
    this.#host = host;
    this.#opts = opts;
    this.#size = new ResizeObserver(() => {
      const width = host.clientWidth;
      if (this.#u && width > 0 && width !== this.#u.width) this.#u.setSize({width, height: opts.height});
      else if (!this.#u && width > 0 && this.#times.length) this.#rebuild();
    });
    this.#size.observe(host);
    document.addEventListener('themechange', this.#theme);
  }

  // draw shows series over the window {from, to}.
  draw(window, times, series) {
    this.#window = window;
    this.#times = times;
    this.#series = series;
    const shape = JSON.stringify(series.map(s => [s.colour, s.stack, s.dash, s.width, s.hidden]));
    if (!this.#u || shape !== this.#shape) {
      this.#shape = shape;
      this.#rebuild();
    } else {
      this.#u.setData(this.#data());
    }
  }

  destroy() {
    this.#size.disconnect();
    document.removeEventListener('themechange', this.#theme);
    this.#u?.destroy();
    this.#u = null;
  }

  #data() {
    const sums = cumulate(this.#series, this.#times.length);
    const positive = v => v > 0 ? v : null; // a logarithm has no zero
    return [this.#times, ...this.#series.map(s => sums.get(s) ?? (this.#opts.log ? s.values.map(positive) : s.values))];
  }

  #rebuild() {
    const width = this.#host.clientWidth;
    if (width === 0 || this.#times.length === 0) return;
    this.#u?.destroy();
    this.#u = new uPlot(this.#config(width), this.#data(), this.#host);
  }

  #config(width) {
    const {unit, height, log: isLog, sync, oncursor} = this.#opts;
    const format = fmt.unit(unit);
    const axis = {
      stroke: css('muted'), font: `11px ${css('font')}`,
      grid: {stroke: css('grid'), width: 1}, ticks: {show: false}, border: {show: false},
    };
    return {
      width, height, padding: [8, 24, 0, 0], legend: {show: false},
      scales: {
        x: {time: true, range: () => [this.#window.from, this.#window.to]},
        y: isLog ? {distr: 3, log: 10, range: log} : {range: linear(this.#opts)},
      },
      axes: [
        {...axis, values: timeLabels, space: 64, size: 28, gap: 6},
        {...axis, values: (u, splits) => splits.map(v => v == null ? '' : format(v)), space: isLog ? 22 : 36, size: 60, gap: 8,
          ...(unit === 'bytes' || unit === 'flow' ? {incrs: powers} : {}),
          ...(isLog ? {filter: decades, grid: {...axis.grid, filter: decades}} : {})},
      ],
      series: [{}, ...this.#series.map(s => this.#line(s))],
      bands: this.#bands(),
      cursor: {
        y: false, points: {size: 7, width: 2},
        drag: {x: true, y: false, setScale: false},
        sync: {key: sync, setSeries: false, scales: ['x', null], filters: {pub: type => type === 'mousemove' || type === 'mouseleave'}},
        bind: {dblclick: () => () => timeRange.resume()},
      },
      hooks: {
        setCursor: [u => oncursor?.(u.cursor.idx ?? null)],
        setSelect: [u => {
          const {left, width: w} = u.select;
          if (w > 4) timeRange.fix(u.posToVal(left, 'x'), u.posToVal(left + w, 'x'));
          if (w > 0) u.setSelect({left: 0, top: 0, width: 0, height: 0}, false);
        }],
      },
    };
  }

  #line(s) {
    const colour = css(s.colour) || css('series-1');
    return {
      show: !s.hidden, stroke: colour, width: s.width ?? 1.6, dash: s.dash, spanGaps: false,
      fill: s.stack ? faded(colour, 0.42) : s.fill ? faded(colour, 0.14) : undefined,
      points: {show: () => false, filter: alone, size: 5, fill: colour},
    };
  }

  // bands fill each stacked series down to the one below it only.
  #bands() {
    const at = this.#series.flatMap((s, i) => s.stack && !s.hidden ? [i + 1] : []);
    return at.slice(1).map((upper, k) => ({series: [upper, at[k]]}));
  }
}
