// One service over time: its phases stacked, a heat map of its latency, its rate.
import {PHASES, who} from './phases.js';

export function mountService(el, kit, onclose) {
  const {h, fmt} = kit;
  const title = h('h3', {id: 'rt-one'});
  const close = h('button', {type: 'button', class: 'more', onclick: onclose}, 'close');
  const figures = {stack: drawing(kit, 'Mean time of a request by phase'), heat: drawing(kit, 'Latency: how many requests took how long'), rate: drawing(kit, 'Requests per second')};
  el.append(h('header', {class: 'card-head'}, title, close), h('div', {class: 'rt-figures'}, Object.values(figures).map(f => f.el)));
  let id = '', history = null, known = [];

  const draw = () => {
    if (!id || !history) return;
    const p = history.points;
    stack(figures.stack, p, fmt);
    heat(figures.heat, p, history.bounds_seconds, fmt);
    line(figures.rate, p, fmt);
  };
  const fetch = async signal => {
    if (!id) return;
    try {
      history = await kit.fetchJSON(`/api/v1/tcprt/history?service=${encodeURIComponent(id)}`, {signal});
    } catch (err) {
      if (err.status !== 404) throw err;
      history = {points: [], bounds_seconds: []}; // its first five seconds are not over
    }
    draw();
  };
  kit.onTick(fetch, 'history');
  kit.listen(window, 'resize', draw);
  const name = () => {
    const s = known.find(x => x.id === id);
    kit.text(title, s ? `${who(s)} (${s.role}), the last 15 minutes` : id);
  };
  function pick(next) {
    id = next;
    history = null;
    el.hidden = !id;
    name();
    if (id) fetch(new AbortController().signal).catch(() => {});
  }
  return {pick, show(all) {
    known = all;
    name();
  }};
}

function drawing(kit, name) {
  const canvas = kit.h('canvas', {role: 'img', 'aria-label': name});
  const note = kit.h('figcaption', {class: 'note'}, name);
  return {name, canvas, note, text: s => kit.text(note, s), el: kit.h('figure', {class: 'rt-figure'}, note, canvas)};
}

// begin clears a canvas to its size on the screen and gives its context.
function begin(f) {
  const scale = window.devicePixelRatio || 1, box = f.canvas.getBoundingClientRect();
  f.canvas.width = Math.max(1, Math.round(box.width * scale));
  f.canvas.height = Math.max(1, Math.round(box.height * scale));
  const c = f.canvas.getContext('2d');
  c.scale(scale, scale);
  return {c, w: box.width, h: box.height, css: getComputedStyle(f.canvas)};
}

const token = (css, name, fallback) => css.getPropertyValue(name).trim() || fallback;

function stack(f, points, fmt) {
  const {c, w, h, css} = begin(f);
  const sums = points.map(p => p.phase_mean_seconds.reduce((a, b) => a + b, 0)), top = Math.max(1e-9, ...sums);
  f.text(points.length ? `${f.name}: up to ${fmt.seconds(top)}, now ${fmt.seconds(sums.at(-1))}` : `${f.name}: nothing yet`);
  const at = i => points.length > 1 ? i * w / (points.length - 1) : w;
  const below = points.map(() => 0);
  PHASES.forEach((phase, k) => {
    c.beginPath();
    points.forEach((p, i) => c.lineTo(at(i), h - below[i] / top * h));
    for (let i = points.length - 1; i >= 0; i--) c.lineTo(at(i), h - (below[i] += points[i].phase_mean_seconds[k]) / top * h);
    c.fillStyle = token(css, `--rt-${phase}`, '#888');
    c.fill();
  });
}

// heat has time from left to right and latency, on a logarithmic scale, upwards.
function heat(f, points, bounds, fmt) {
  const {c, w, h, css} = begin(f);
  let low = Infinity, high = 0, most = 0;
  for (const p of points) for (const [b, n] of p.heat ?? []) { low = Math.min(low, b); high = Math.max(high, b); most = Math.max(most, n); }
  if (!most) return f.text(`${f.name}: nothing yet`);
  low = Math.max(0, low - 1);
  high += 1;
  f.text(`${f.name}: ${fmt.seconds(bounds[low] ?? 0)} at the bottom to ${fmt.seconds(bounds[Math.min(high, bounds.length - 1)])} at the top`);
  const dx = w / points.length, dy = h / (high - low + 1);
  c.fillStyle = token(css, '--accent', '#3a7');
  points.forEach((p, i) => (p.heat ?? []).forEach(([b, n]) => {
    c.globalAlpha = 0.12 + 0.88 * Math.log1p(n) / Math.log1p(most);
    c.fillRect(i * dx, h - (b - low + 1) * dy, Math.ceil(dx), Math.ceil(dy));
  }));
}

function line(f, points, fmt) {
  const {c, w, h, css} = begin(f);
  const top = Math.max(1e-9, ...points.map(p => p.rate));
  f.text(points.length ? `${f.name}: up to ${fmt.number(Math.round(top))}, now ${fmt.number(Math.round(points.at(-1).rate))}` : `${f.name}: nothing yet`);
  c.beginPath();
  points.forEach((p, i) => c.lineTo(points.length > 1 ? i * w / (points.length - 1) : w, h - p.rate / top * (h - 2)));
  c.strokeStyle = token(css, '--accent', '#3a7');
  c.lineWidth = 1.6;
  c.stroke();
}
