// Explore: any PromQL over the metrics history, as a chart and as a table.
import {suggest} from './suggest.js';

const EXAMPLES = [
  ['CPU by class', 'sum by (class) (rate(anole_qos_cpu_usage_seconds_total[$w]))'],
  ['Run-queue p99', 'histogram_quantile(0.99, sum by (class, le) (rate(anole_qos_runqueue_latency_seconds_bucket[$w])))'],
  ['Writes by knob', 'sum by (knob) (rate(anole_qos_knob_writes_total[$w])) * 60'],
  ['Node CPU', 'anole_qos_node_cpu_used_cores / anole_qos_node_cpu_capacity_cores'],
];
const UNITS = [['number', 'numbers'], ['cores', 'cores'], ['ratio', 'percent'], ['seconds', 'time'], ['bytes', 'bytes'], ['rate', 'per second']];
const CLASS = /^(LSE|LSR|LS|NONE|BE|SYSTEM)$/; // of the QoS room; their colours are the design's
const MOST = 24; // series in the chart; the table has them all

export function mount(el, kit) {
  const {h} = kit;
  const first = kit.params.get('q') ?? EXAMPLES[0][1];
  let unit = kit.params.get('unit') ?? guess(first);
  const input = h('input', {type: 'text', class: 'promql', id: 'promql', spellcheck: 'false', autocomplete: 'off', autocapitalize: 'off', 'aria-label': 'PromQL query'});
  input.value = first;
  const message = h('p', {class: 'query-error', role: 'alert', hidden: true});
  const units = h('select', {'aria-label': 'Unit', onchange: () => {
    unit = units.value;
    kit.go({q: input.value, unit}, {replace: true});
    remake();
  }}, UNITS.map(([v, label]) => h('option', {value: v}, label)));
  units.value = unit;
  const form = h('form', {class: 'card query', onsubmit: e => {
    e.preventDefault();
    ask(input.value);
  }},
  h('label', {for: 'promql'}, 'PromQL'), h('div', {class: 'query-line'}, h('div', {class: 'combo'}, input), units, h('button', {type: 'submit', class: 'primary'}, 'Run')),
  h('div', {class: 'examples'}, EXAMPLES.map(([label, q]) => h('button', {type: 'button', class: 'example', onclick: () => ask(q)}, label)),
    h('span', {class: 'quiet-text'}, kit.code('$w'), ' is a rate window that fits the range.')), message);
  const chartBox = h('div');
  const tableBox = h('section', {class: 'card'}, h('header', {class: 'card-head'}, h('h3', null, 'Latest values')));
  kit.put(el, h('h2', {class: 'sr'}, 'Explore'), form, chartBox, tableBox);
  suggest(input, kit);

  const ask = q => q === kit.params.get('q') ? tick() : kit.go({q, unit: guess(q)});
  let chart, table, last = null, columns = '';
  const remake = () => {
    chart?.destroy();
    chart = kit.chart(chartBox, {title: first, unit, height: 320, empty: 'The query gives nothing in this time range.'});
    columns = '';
    if (last) draw(last);
  };
  const draw = d => {
    last = d;
    const byClass = new Set(d.series.map(s => s.labels.class)).size === d.series.length;
    chart.set({...d, series: d.series.slice(0, MOST).map((s, i) => ({name: name(s.labels), colour: byClass && CLASS.test(s.labels.class) ? `class-${s.labels.class}` : `series-${i % 8 + 1}`, dash: i >= 8 ? [4, 3] : undefined, values: s.values}))});
    const labels = [...new Set(d.series.flatMap(s => Object.keys(s.labels)))].sort();
    if (labels.join() !== columns || !table) {
      columns = labels.join();
      table?.destroy();
      table = kit.table(tableBox, {
        caption: 'Latest value of each series', rowKey: r => r.key, filter: 'Filter series', limit: 200, sort: {key: 'value', dir: -1},
        columns: [...labels.map(l => ({key: `label-${l}`, label: l, value: r => r.labels[l] ?? '', wide: true})),
          {key: 'value', label: 'Value', align: 'end', value: r => r.value, show: r => kit.fmt.unit(unit)(r.value)}],
      });
    }
    table.set(d.series.map(s => ({labels: s.labels, key: JSON.stringify(s.labels), value: s.values.findLast(v => v !== null) ?? null})));
  };
  const tick = async signal => {
    const off = kit.agent.noHistory();
    if (off) return say(off);
    const window = kit.timeRange.window();
    try {
      const {times, series} = await kit.range(first, {window, signal});
      draw({window, times, series: series.sort((a, b) => name(a.labels).localeCompare(name(b.labels), 'en', {numeric: true}))});
      say('');
    } catch (err) {
      if (!signal?.aborted && err.status !== 0) say(err.message, err.status >= 400 && err.status < 500);
    }
  };
  // A query that the agent refused is refused again until it changes.
  let refused = false;
  const say = (s, final = false) => {
    message.hidden = !s;
    kit.text(message, s);
    refused = final;
  };
  remake();
  kit.onTick(signal => refused ? undefined : tick(signal), 'history');
}

const name = labels => {
  const {__name__: n = '', ...rest} = labels;
  const inner = Object.entries(rest).map(([k, v]) => `${k}="${v}"`).join(', ');
  return inner ? `${n}{${inner}}` : n || 'value';
};

// guess reads the unit off a query, as the metrics' names carry it.
function guess(q) {
  if (/quantile|latency/.test(q)) return 'seconds';
  if (/_cores\s*\/\s*\w+_cores|ratio/.test(q)) return 'ratio';
  if (/cpu_\w*seconds_total|_cores/.test(q)) return 'cores';
  if (/_bytes_total/.test(q) && /rate\(/.test(q)) return 'flow';
  if (/_bytes/.test(q)) return 'bytes';
  return 'number';
}
