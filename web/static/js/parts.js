// Small parts that panels share.
import {h, svg, put, text, icon} from './dom.js';

// chip is a word on a tinted ground. tone: ok, warn, bad, quiet, or a class.
export const chip = (word, tone = 'quiet') => h('span', {class: `chip ${tone}`}, word);

// code is monospaced text that a reader may want to copy.
export const code = s => h('code', null, s);

// meter is a bar of which part (0 to 1) is filled.
export const meter = (part, colour = 'accent') =>
  h('span', {class: 'meter', 'aria-hidden': 'true', vars: {'--part': String(Math.min(1, Math.max(0, part || 0))), '--c': `var(--${colour})`}});

// spark is a line of values without axes; null is a gap. top fixes its scale.
export function spark(values, {top, width = 96, height = 24, colour = 'accent'} = {}) {
  const max = Math.max(top ?? 0, ...values.filter(v => v !== null)) || 1;
  const x = i => (i / Math.max(1, values.length - 1) * (width - 2) + 1).toFixed(1);
  const y = v => (height - 2 - v / max * (height - 4)).toFixed(1);
  const runs = [];
  let run = null;
  values.forEach((v, i) => {
    if (v === null) run = null;
    else {
      if (!run) runs.push(run = []);
      run.push(`${x(i)} ${y(v)}`);
    }
  });
  const box = svg('svg', {class: 'spark', viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: 'none', 'aria-hidden': 'true'},
    runs.map(r => [
      svg('path', {class: 'spark-area', d: `M${r[0].split(' ')[0]} ${height - 1}L${r.join('L')}L${r.at(-1).split(' ')[0]} ${height - 1}Z`}),
      svg('path', {class: 'spark-line', d: `M${r.join('L')}`}),
    ]));
  box.style.setProperty('--c', `var(--${colour})`);
  return box;
}

// tile is one number with a label: set(value, note, {tone, part, colour}).
export function tile(el, {label, unit, title}) {
  const value = h('span', {class: 'tile-value'}, '–');
  const note = h('span', {class: 'tile-note'});
  const bar = h('span', {class: 'meter', 'aria-hidden': 'true', hidden: true});
  const box = h('div', {class: 'tile', role: 'group', 'aria-label': label, title},
    h('span', {class: 'tile-label'}, label),
    h('span', {class: 'tile-row'}, value, unit ? h('span', {class: 'tile-unit'}, unit) : null), bar, note);
  el.append(box);
  return {
    el: box,
    set(v, n = '', {tone = '', part, colour = 'accent'} = {}) {
      text(value, v);
      text(note, n);
      box.dataset.tone = tone;
      bar.hidden = part === undefined;
      bar.style.setProperty('--part', String(Math.min(1, Math.max(0, part || 0))));
      bar.style.setProperty('--c', `var(--${colour})`);
    },
    destroy: () => box.remove(),
  };
}

// drawer is a modal sheet at the side. Escape, the cross and a click outside
// close it; focus goes back to where it was. onclose is called each time.
export function drawer({title = '', onclose} = {}) {
  const heading = h('h2', {id: 'drawer-title'}, title);
  const body = h('div', {class: 'drawer-body'});
  const box = h('dialog', {class: 'drawer', 'aria-labelledby': 'drawer-title', onclick: e => e.target === box && box.close(), onclose: () => onclose?.()},
    h('div', {class: 'drawer-sheet'}, h('header', {class: 'drawer-head'}, heading,
      h('button', {type: 'button', class: 'icon-button', 'aria-label': 'Close', onclick: () => box.close()}, icon('cross'))), body));
  document.body.append(box);
  return {
    body,
    get isOpen() {
      return box.open;
    },
    open(head) {
      put(heading, head ?? title);
      if (!box.open) box.showModal();
    },
    close: () => box.open && box.close(),
    destroy() {
      if (box.open) box.close();
      box.remove();
    },
  };
}
