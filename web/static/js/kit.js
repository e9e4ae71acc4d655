// The kit: all that a panel may lean on. A panel is a module that exports
//
//   export function mount(element, kit) → unmount
//
// mount fills element; unmount undoes what mount did outside of the kit.
// Charts, tables, ticks and drawers made through the kit end by themselves when
// the panel is left. What a panel may use:
//
//   fetchJSON(path, {signal})       an answer of the agent's API, decoded; throws Error
//                                   with .status (0: no answer)
//   query(promql), range(promql)    the history, now or over the page's time range;
//                                   $w stands for the rate window
//   chart(el, options)              see chart.js        table(el, options)  see table.js
//   tile(el, {label, unit})         a number: set(value, note, {tone, part})
//   drawer({title})                 a sheet at the side: open(), close(), body
//   chip(text, tone), spark(values), meter(part, colour), code(text)
//   onTick(fn, 'status'|'history')  fn(signal) now and every 2 s or 5 s, not while
//                                   the tab is hidden or the agent gone
//   timeRange                       the page's time range: span, live, window(), fix(from, to)
//   agent                           agent.status: the last /api/v1/status
//   params, go(params)              what follows ? in the address, and changing it
//   css(path)                       adds a style sheet of the panel
//   fmt                             number formats   h, svg, put, text, icon, radios  building elements
import * as dom from './dom.js';
import * as fmt from './format.js';
import * as api from './api.js';
import {timeRange, tickers} from './clock.js';
import {agent} from './agent.js';
import {chart, withRate} from './chart.js';
import {table} from './table.js';
import {tile, drawer, chip, spark, meter, code} from './parts.js';

const sheets = new Map(); // path → promise

function css(path) {
  if (!sheets.has(path)) {
    sheets.set(path, new Promise(done => {
      const el = dom.h('link', {rel: 'stylesheet', href: path, onload: done, onerror: done});
      document.head.append(el);
    }));
  }
  return sheets.get(path);
}

// makeKit gives a panel its kit, and the shell the way to end it.
export function makeKit(id, params, go) {
  const ends = [];
  const own = make => (...args) => {
    const x = make(...args);
    ends.push(() => x.destroy());
    return x;
  };
  const kit = {
    ...dom, fmt, timeRange, agent, link: api.link, chip, spark, meter, code, css, params, go,
    fetchJSON: api.fetchJSON,
    labelValues: api.labelValues,
    query: (expr, o) => api.query(withRate(expr, timeRange.window()), o),
    range: (expr, o) => api.range(withRate(expr, o?.window ?? timeRange.window()), o?.window ?? timeRange.window(), o),
    chart: own((el, o) => chart(el, {sync: id, ...o})),
    table: own(table),
    tile: own(tile),
    drawer: own(drawer),
    onTick(fn, which = 'status') {
      const end = tickers[which].add(fn);
      ends.push(end);
      return end;
    },
    listen(target, type, fn) {
      target.addEventListener(type, fn);
      ends.push(() => target.removeEventListener(type, fn));
    },
  };
  return {kit, end: () => ends.splice(0).reverse().forEach(f => f())};
}
