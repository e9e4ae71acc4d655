// A table that sorts by its headers, filters as one types, and updates in
// place, so that focus and selection survive a refresh every second.
import {h, put, text, icon} from './dom.js';

let serial = 0;

// table puts one into el. options:
//   caption   what it is, for screen readers
//   columns   [{key, label, title, align: 'end', value(row), show(row), wide}]
//             value sorts, filters and decides whether a cell changed; show gives
//             the cell's node or text, default value's; sort: false for none;
//             wide marks text that takes a whole line on narrow screens
//   rowKey    row → string, unique
//   sort      {key, dir: 1 | -1} at first; none keeps the order of the rows
//   filter    placeholder of the filter box; no box without it
//   tools     nodes beside the filter box
//   onrow     called with a row on click; makes the first cell a button
//   limit     rows shown at most, with a "show all" button
//   empty     what to say (text or node) without rows
// It returns {el, set(rows), filter(text), destroy()}.
export function table(el, options) {
  const t = new Table(options);
  el.append(t.el);
  return {el: t.el, set: rows => t.set(rows), filter: s => t.filter(s), destroy: () => t.el.remove()};
}

class Table {
  #o;
  #rows = [];
  #sort;
  #needle = '';
  #all = false;
  #drawn = new Map(); // key → {tr, cells, row}
  #body = h('tbody', {role: 'rowgroup'});
  #heads = [];
  #empty = h('div', {class: 'empty', hidden: true});
  #count = h('span', {class: 'count', 'aria-live': 'polite'});
  #more = h('button', {type: 'button', class: 'more', hidden: true, onclick: () => {
    this.#all = true;
    this.#draw();
  }});

  constructor(o) {
    this.#o = o;
    this.#sort = o.sort ? {...o.sort} : null;
    const id = `table-${++serial}`;
    this.input = o.filter ? h('input', {
      type: 'search', class: 'filter', placeholder: o.filter, 'aria-label': o.filter, 'aria-controls': id, spellcheck: 'false', autocomplete: 'off',
      oninput: () => this.filter(this.input.value),
    }) : null;
    this.el = h('div', {class: 'table-box'}, h('div', {class: o.columns.length > 4 ? 'many' : o.columns.length > 2 ? 'few' : null},
      o.filter || o.tools ? h('div', {class: 'table-tools'}, this.input, o.tools, this.#count) : null,
      h('table', {id, role: 'table'}, h('caption', {class: 'sr'}, o.caption),
        h('thead', {role: 'rowgroup'}, h('tr', {role: 'row'}, o.columns.map(c => this.#head(c)))), this.#body),
      this.#empty, this.#more));
    this.#marks();
  }

  #head(c) {
    const th = h('th', {scope: 'col', role: 'columnheader', class: c.align === 'end' ? 'end' : null, title: c.title},
      c.sort === false ? c.label : h('button', {type: 'button', class: 'sort', onclick: () => this.#by(c)}, c.label, icon('sort')));
    this.#heads.push({c, th});
    return th;
  }

  #by(c) {
    const first = c.align === 'end' ? -1 : 1; // numbers: largest first
    if (this.#sort?.key !== c.key) this.#sort = {key: c.key, dir: first};
    else this.#sort.dir = -this.#sort.dir;
    this.#marks();
    this.#draw();
  }

  #marks() {
    for (const {c, th} of this.#heads) {
      if (c.sort === false) continue;
      const dir = this.#sort?.key === c.key ? this.#sort.dir : 0;
      th.setAttribute('aria-sort', dir === 1 ? 'ascending' : dir === -1 ? 'descending' : 'none');
    }
  }

  set(rows) {
    this.#rows = rows;
    this.#draw();
  }

  filter(s) {
    if (this.input && this.input.value !== s) this.input.value = s;
    this.#needle = s.trim().toLowerCase();
    this.#draw();
  }

  #draw() {
    const rows = this.#sorted(this.#rows.filter(r => this.#matches(r)));
    const limit = this.#all ? rows.length : this.#o.limit ?? rows.length;
    const focus = document.activeElement;
    const keep = new Set();
    rows.slice(0, limit).forEach((row, i) => {
      const key = this.#o.rowKey(row);
      keep.add(key);
      const tr = this.#row(key, row);
      if (this.#body.children[i] !== tr) this.#body.insertBefore(tr, this.#body.children[i] ?? null);
    });
    for (const [key, d] of this.#drawn) {
      if (keep.has(key)) continue;
      d.tr.remove();
      this.#drawn.delete(key);
    }
    if (focus !== document.activeElement && focus?.isConnected) focus.focus({preventScroll: true});
    this.#summary(rows.length, limit);
  }

  #summary(matched, limit) {
    const total = this.#rows.length;
    text(this.#count, matched === total ? `${total}` : `${matched} of ${total}`);
    this.#empty.hidden = matched > 0;
    if (matched === 0) put(this.#empty, total > 0 ? 'Nothing matches.' : this.#o.empty ?? 'Nothing here yet.');
    this.#more.hidden = matched <= limit;
    text(this.#more, `Show all ${matched}`);
  }

  #matches(row) {
    return !this.#needle || this.#o.columns.some(c => String(c.value(row) ?? '').toLowerCase().includes(this.#needle));
  }

  #sorted(rows) {
    const c = this.#sort && this.#o.columns.find(x => x.key === this.#sort.key);
    if (!c) return rows;
    const {dir} = this.#sort;
    const order = c.order ?? c.value;
    return rows.sort((a, b) => {
      const x = order(a), y = order(b);
      if (x == null || y == null) return (x == null) - (y == null); // missing last
      return dir * (typeof x === 'number' && typeof y === 'number' ? x - y : String(x).localeCompare(String(y), 'en', {numeric: true}));
    });
  }

  #row(key, row) {
    let d = this.#drawn.get(key);
    if (!d) {
      d = {row, values: []};
      const open = this.#o.onrow ? () => this.#o.onrow(d.row) : null;
      d.cells = this.#o.columns.map((c, i) => h('td', {
        role: 'cell', 'data-label': c.label, class: [c.align === 'end' && 'end', c.wide && 'wide', i === 0 && 'first'].filter(Boolean).join(' ') || null,
      }));
      d.tr = h('tr', {role: 'row', class: open && 'opens', onclick: open && (e => {
        if (!getSelection().toString() || e.detail === 0) open();
      })}, d.cells);
      this.#drawn.set(key, d);
    }
    d.row = row;
    this.#o.columns.forEach((c, i) => {
      const v = String(c.value(row) ?? '');
      if (d.values[i] === v) return;
      d.values[i] = v;
      const shown = c.show ? c.show(row) : v;
      put(d.cells[i], i === 0 && this.#o.onrow ? h('button', {type: 'button', class: 'opener'}, shown) : shown);
    });
    return d.tr;
  }
}
