// A chart card: title, plot, and a legend with live values whose entries hide
// and show their series.
import {h, put, text} from './dom.js';
import {range, link} from './api.js';
import {timeRange, tickers} from './clock.js';
import {agent} from './agent.js';
import {Plot} from './plot.js';
import * as fmt from './format.js';

// withRate puts the rate window of the present range in for $w.
export const withRate = (expr, w) => expr.replaceAll('$w', `${w.rate}s`);

const of = (v, labels) => typeof v === 'function' ? v(labels) : v;

// chart puts a card into el. options:
//   title, note   text; note is one muted line
//   unit          cores | ratio | seconds | bytes | flow (bytes a second) | rate | number
//   height        of the plot in pixels, default 208
//   log, max      logarithmic y axis; least top of a linear one
//   empty         what to say (text or node) when there is no data
//   tools         nodes beside the title
//   sync          charts with one key share their cursor
//   lazy          ask only while the card is on the screen or near it
//   queries       [{expr, name, colour, order, keep, idle, stack, fill, dash, width}]
//                 asked on every history tick; $w in expr is the rate window;
//                 name, colour (a custom property without its dashes), order
//                 and keep may be functions of a series' labels; idle: false
//                 leaves out series that are 0 all the time
// It returns {el, set({window, times, series}), refresh(), destroy()}; without
// queries the caller feeds set.
export function chart(el, options) {
  const card = new Card(options);
  el.append(card.el);
  const begin = () => tickers.history.add(signal => card.ask(signal));
  const stop = !options.queries ? () => {} : options.lazy ? whileNear(card.el, begin) : begin();
  return {
    el: card.el,
    set: d => card.show(d),
    destroy() {
      stop();
      card.destroy();
    },
  };
}

// whileNear runs what begin starts while el is less than half a screen away.
function whileNear(el, begin) {
  let end = null;
  const seen = new IntersectionObserver(entries => {
    const near = entries.at(-1).isIntersecting;
    if (near === (end !== null)) return;
    if (near) return void (end = begin());
    end();
    end = null;
  }, {rootMargin: '50% 0px'});
  seen.observe(el);
  return () => {
    seen.disconnect();
    end?.();
    end = null;
  };
}

class Card {
  #o;
  #at = h('span', {class: 'chart-at'});
  #host = h('div', {class: 'plot'});
  #empty = h('div', {class: 'plot-empty', hidden: true});
  #legend = h('div', {class: 'legend'});
  #plot;
  #hidden = new Set();
  #entries = [];
  #last = null; // {window, times, series}
  #cursor = null;

  constructor(o) {
    this.#o = o;
    const frame = h('div', {class: 'plot-frame', role: 'img', 'aria-label': o.title, vars: {'--height': `${o.height ?? 208}px`}}, this.#host, this.#empty);
    this.el = h('section', {class: 'card chart', 'aria-label': o.title},
      h('header', {class: 'card-head'}, h('h3', null, o.title), o.tools, this.#at),
      o.note ? h('p', {class: 'note'}, o.note) : null, frame, this.#legend);
    this.#plot = new Plot(this.#host, {
      unit: o.unit, height: o.height ?? 208, log: o.log, max: o.max, sync: o.sync ?? 'page',
      oncursor: i => {
        this.#cursor = i;
        this.#values();
      },
    });
  }

  async ask(signal) {
    const off = agent.noHistory();
    if (off) return this.#say(off);
    const window = timeRange.window();
    try {
      const answers = await Promise.all(this.#o.queries.map(q => range(withRate(q.expr, window), window, {signal})));
      const series = answers.flatMap((a, i) => a.series.map(s => this.#series(this.#o.queries[i], i, s))).filter(Boolean);
      series.sort((a, b) => a.order - b.order);
      this.show({window, times: answers[0].times, series});
    } catch (err) {
      if (signal.aborted) return;
      if (!link.up && this.#last) return; // the banner says it; the old picture stays
      this.#say(err.message);
    }
  }

  #series(q, i, {labels, values}) {
    if (q.keep && !q.keep(labels)) return null;
    if (values.every(v => v === null || q.idle === false && v === 0)) return null;
    return {
      name: of(q.name, labels) ?? Object.entries(labels).map(([k, v]) => `${k}=${v}`).join(' '),
      colour: of(q.colour, labels) ?? `series-${i % 8 + 1}`, order: of(q.order, labels) ?? i,
      stack: q.stack, fill: q.fill, dash: of(q.dash, labels), width: q.width, values,
    };
  }

  show(d) {
    this.#last = d;
    if (d.series.length === 0) return this.#say(this.#o.empty ?? 'No data in this time range.');
    this.#empty.hidden = true;
    for (const s of d.series) s.hidden = this.#hidden.has(s.name);
    this.#plot.draw(d.window, d.times, d.series);
    const names = d.series.map(s => s.name).join('\n');
    if (names !== this.#legend.dataset.names) this.#makeLegend(names);
    this.#values();
  }

  #say(what) {
    this.#empty.hidden = false;
    put(this.#empty, what);
    put(this.#legend);
    delete this.#legend.dataset.names;
    this.#entries = [];
    text(this.#at, '');
  }

  #makeLegend(names) {
    this.#legend.dataset.names = names;
    this.#entries = this.#last.series.map(s => {
      const value = h('span', {class: 'legend-value'});
      const b = h('button', {
        type: 'button', class: 'legend-item', 'aria-pressed': String(!s.hidden), title: 'Show or hide',
        onclick: () => {
          this.#hidden[this.#hidden.has(s.name) ? 'delete' : 'add'](s.name);
          b.setAttribute('aria-pressed', String(!this.#hidden.has(s.name)));
          this.show(this.#last);
        },
      }, h('span', {class: s.dash ? 'swatch dashed' : 'swatch', vars: {'--c': `var(--${s.colour})`}}),
      h('span', {class: 'legend-name'}, s.name), value);
      return {b, value};
    });
    put(this.#legend, this.#entries.map(e => e.b));
  }

  // values shows the series' values at the cursor, or the latest.
  #values() {
    if (!this.#last || this.#entries.length === 0) return;
    const {times, series} = this.#last;
    const format = fmt.unit(this.#o.unit);
    const at = this.#cursor;
    text(this.#at, at === null || times[at] === undefined ? '' : fmt.moment(times[at] * 1000));
    series.forEach((s, i) => {
      const v = at === null ? s.values.findLast(x => x !== null) : s.values[at];
      if (this.#entries[i]) text(this.#entries[i].value, format(v));
    });
  }

  destroy() {
    this.#plot.destroy();
    this.el.remove();
  }
}
