// Numbers as people read them. Every function takes base units (cores, ratio,
// seconds, bytes, milliseconds since 1970) and answers "–" for a missing value.

export const NONE = '–';
const bad = v => v === null || v === undefined || !Number.isFinite(v);

// trim gives v with about three significant digits and no idle zeros.
export function trim(v, digits = 3) {
  if (bad(v)) return NONE;
  if (v === 0) return '0';
  const a = Math.abs(v);
  const places = Math.max(0, Math.min(6, digits - 1 - Math.floor(Math.log10(a))));
  return Number(v.toFixed(places)).toLocaleString('en', {maximumFractionDigits: 6, useGrouping: a >= 10000});
}

export const number = v => {
  if (bad(v)) return NONE;
  for (const [f, s] of [[1e12, 'T'], [1e9, 'G'], [1e6, 'M'], [1e4, 'k']]) {
    if (Math.abs(v) >= f) return trim(v / (s === 'k' ? 1e3 : f)) + ' ' + s;
  }
  return Math.abs(v) < 1e-4 && v !== 0 ? v.toExponential(1) : trim(v);
};

export const cores = v => bad(v) ? NONE : v < 10 ? v.toFixed(2) : v.toFixed(1);
export const percent = v => {
  if (bad(v)) return NONE;
  const p = v * 100;
  return (p === 0 ? '0' : Math.abs(p) < 0.1 ? p.toFixed(2) : Math.abs(p) < 10 ? p.toFixed(1) : p.toFixed(0)) + ' %';
};

export function seconds(v) {
  if (bad(v)) return NONE;
  const a = Math.abs(v);
  if (a === 0) return '0 s';
  if (a < 1e-6) return trim(v * 1e9, 2) + ' ns';
  if (a < 1e-3) return trim(v * 1e6) + ' µs';
  if (a < 1) return trim(v * 1e3) + ' ms';
  if (a < 120) return trim(v) + ' s';
  return duration(v);
}

export function bytes(v) {
  if (bad(v)) return NONE;
  let u = 0;
  while (Math.abs(v) >= 1024 && u < 5) {
    v /= 1024;
    u++;
  }
  return trim(v) + ' ' + ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'][u];
}

export const flow = v => bad(v) ? NONE : bytes(v) + '/s';
export const rate = v => bad(v) ? NONE : number(v) + '/s';

// duration is a length of time in its two largest units.
export function duration(s) {
  if (bad(s)) return NONE;
  s = Math.floor(s);
  const d = Math.floor(s / 86400), hh = Math.floor(s / 3600) % 24, m = Math.floor(s / 60) % 60;
  if (d) return `${d} d ${hh} h`;
  if (hh) return `${hh} h ${m} min`;
  if (m) return `${m} min ${s % 60} s`;
  return `${s} s`;
}

const two = n => String(n).padStart(2, '0');
export function clock(ms, withSeconds = true) {
  const d = new Date(ms);
  return `${two(d.getHours())}:${two(d.getMinutes())}` + (withSeconds ? `:${two(d.getSeconds())}` : '');
}
// moment is clock with the date in front when it is not today.
export function moment(ms) {
  const d = new Date(ms);
  if (d.toDateString() === new Date().toDateString()) return clock(ms);
  return `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())} ${clock(ms)}`;
}

// units maps a unit's name to its format; what a chart's axis and legend use.
export const units = {cores, ratio: percent, seconds, bytes, flow, rate, number};
// unit gives the format of a unit, of plain numbers for an unknown one.
export const unit = name => units[name] ?? number;
