// A section of the page for one resource: in full while the node isolates it,
// else one line that says why not. Nothing is built, and no history asked for,
// before it is on.

// section puts one into el. build(grid) makes its cards and returns a function
// that shows a status; charts that it makes by own.chart end when it goes off.
export function section(el, kit, {title, build}) {
  const {h} = kit;
  const why = h('span', {class: 'quiet-text'});
  const line = h('p', {class: 'card qos-off', hidden: true}, h('strong', null, title), kit.chip('off'), why);
  const grid = h('div', {class: 'grid pair', role: 'group', 'aria-label': title, hidden: true});
  el.append(line, grid);
  let update = null, charts = [];
  const own = {...kit, chart: (at, o) => {
    const c = kit.chart(at, {lazy: true, ...o});
    charts.push(c);
    return c;
  }};
  return {
    off(reason, more = '') {
      if (update) {
        for (const c of charts) c.destroy();
        charts = [];
        update = null;
        kit.put(grid);
      }
      grid.hidden = true;
      line.hidden = false;
      kit.text(why, reason);
      line.title = more;
    },
    on(status) {
      line.hidden = true;
      grid.hidden = false;
      update ??= build(grid, own);
      update(status);
    },
  };
}

// card is a card over the whole width with a heading, a note and a place for
// more beside it.
export function card(kit, id, title, note, ...more) {
  const {h} = kit;
  return h('section', {class: 'card span', 'aria-labelledby': id},
    h('header', {class: 'card-head'}, h('h3', {id}, title)), h('p', {class: 'note'}, note), more);
}

// facts are figures with their names in one line, which wraps.
export function facts(kit) {
  const {h} = kit;
  const el = h('dl', {class: 'qos-line'});
  let was = '';
  return {el, set(pairs) {
    const now = JSON.stringify(pairs);
    if (now === was) return;
    was = now;
    kit.put(el, pairs.map(([k, v]) => h('div', null, h('dt', null, k), h('dd', null, v))));
  }};
}

// using finds what the agent says of a mechanism: {using, why}, or null.
export const using = (status, name) => (status.mechanisms ?? []).find(m => m.name === name) ?? null;

// palette gives each of things that are no classes a colour, in the order in
// which they come up.
export function palette() {
  const known = new Map();
  return key => {
    if (!known.has(key)) known.set(key, `series-${known.size % 8 + 1}`);
    return known.get(key);
  };
}

// once makes something the first time that it is wanted.
export function once(make) {
  let made = false;
  return wanted => {
    if (!wanted || made) return;
    made = true;
    make();
  };
}
