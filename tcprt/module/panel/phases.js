// The phases of a request, in their order, with their colours.
export const PHASES = ['upload', 'queue', 'server', 'send', 'deliver'];
export const MEANING = {
  upload: 'until the request was here', queue: 'until the program read it', server: 'until its answer began',
  send: 'until the last of it left', deliver: 'until the other side had it',
};
export const colour = phase => `series-${PHASES.indexOf(phase) + 1}`;

// bar shows how the time is split, the whole width being total.
export function bar(kit, times, total) {
  const sum = PHASES.reduce((s, p) => s + (times?.[p] ?? 0), 0);
  const of = total || sum;
  const text = PHASES.filter(p => times?.[p]).map(p => `${p} ${kit.fmt.seconds(times[p])}`).join(', ');
  return kit.h('span', {class: 'rt-bar', role: 'img', 'aria-label': text || 'no time', title: text},
    of > 0 ? PHASES.filter(p => times?.[p] > 0).map(p => kit.h('i', {class: `rt-${p}`, vars: {'--w': `${(100 * times[p] / of).toFixed(2)}%`}})) : null);
}

export const legend = kit => kit.h('p', {class: 'rt-legend note'}, PHASES.map(p =>
  kit.h('span', {title: MEANING[p]}, kit.h('i', {class: `rt-${p}`}), `${p} `, kit.h('span', {class: 'quiet-text'}, MEANING[p]))));

// who names a service with its port.
export const who = r => `${r.name}:${r.port ?? (r.role === 'client' ? r.remote : r.local).split(':').pop()}`;
