// What is not as it was: who is to blame, and the figures that say so.
import {bar, who} from './phases.js';

const words = s => s.replaceAll('_', ' ');

export function mountAnomalies(el, kit, pick) {
  const {h, fmt} = kit;
  const now = h('div', {class: 'rt-now'});
  const past = h('div');
  el.append(h('header', {class: 'card-head'}, h('h3', {id: 'rt-amiss'}, 'What is amiss')), now, past);
  const t = kit.table(past, {
    caption: 'Anomalies that are over', rowKey: a => String(a.id), limit: 8, onrow: a => pick(a.service),
    columns: [
      {key: 'end', label: 'Over', value: a => fmt.moment(Date.parse(a.end)), order: a => Date.parse(a.end)},
      {key: 'who', label: 'Service', value: a => `${who(a)} (${a.role})`},
      {key: 'cause', label: 'Cause', value: a => words(a.cause), show: a => kit.chip(words(a.cause), 'warn')},
      {key: 'signal', label: 'Signal', value: a => `${words(a.signal)} ${figure(fmt, a, a.now)}, usually ${figure(fmt, a, a.usual)}`, wide: true},
      {key: 'why', label: 'What spoke for it', value: a => (a.evidence ?? [])[0] ?? '', wide: true, sort: false},
    ],
    empty: 'Nothing was amiss since the agent started.',
  });
  let shown = '';
  return all => {
    const going = all.filter(a => !a.end);
    const key = JSON.stringify(going);
    if (key !== shown) {
      shown = key;
      kit.put(now, going.length ? going.map(a => card(kit, a, pick)) : h('p', {class: 'note'}, kit.chip('ok', 'ok'), ' Every service is as usual.'));
    }
    t.set(all.filter(a => a.end));
  };
}

const figure = (fmt, a, v) => a.signal === 'failures' || a.signal === 'retransmits' ? fmt.percent(v) : fmt.seconds(v);

function card(kit, a, pick) {
  const {h, fmt} = kit;
  const shares = Object.entries(a.shares ?? {}).sort((x, y) => y[1] - x[1]);
  return h('article', {class: 'rt-anomaly'},
    h('header', null, h('button', {type: 'button', class: 'rt-link', onclick: () => pick(a.service)}, who(a)), ` (${a.role}) `,
      kit.chip(words(a.cause), 'bad'), ` at ${a.component}, ${Math.round(100 * a.sure)} % sure`),
    h('p', null, `Since ${fmt.moment(Date.parse(a.start))}: ${words(a.signal)} is ${figure(fmt, a, a.now)}, usually ${figure(fmt, a, a.usual)}.`),
    h('ul', null, [...(a.evidence ?? []), ...(a.where ?? []).map(w => `where: ${w}`)].map(e => h('li', null, e))),
    shares.length > 1 ? h('p', {class: 'note'}, shares.map(([c, v]) => `${words(c)} ${Math.round(100 * v)} %`).join(' · ')) : null,
    (a.slowest ?? []).slice(0, 3).map(r => h('p', {class: 'rt-sample'}, `${fmt.seconds(r.total_seconds)} `, bar(kit, r.phases_seconds), h('span', {class: 'quiet-text'}, ` ${r.remote}`))));
}
